"""The results page: self-contained, not broken by what records hold, and working in a real browser."""

import base64
import contextlib
import functools
import gzip
import http.server
import json
import re
import shutil
import threading
from dataclasses import replace

import pytest

from dsee_bench.cli.report import main
from dsee_bench.config.launch import default_results_dir
from dsee_bench.record import read_all
from dsee_bench.report.page import details
from dsee_bench.report.page.page import write


@pytest.fixture
def written(results):
    """The page of the made-up results, written as a user does."""
    (results / "plots").mkdir()
    (results / "plots" / "glue-tradeoff-flops_final-minilm.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (results / "plots" / "glue-of-another-time.svg").write_text("<svg/>")
    assert main(["page", "--results", str(results)]) == 0
    return results / "page.html"


def unpacked(text):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def rows_of(text):
    return unpacked(re.findall(r'id="rows">(.*?)</script>', text)[0])


def test_it_loads_nothing_from_outside(written, results):
    text = written.read_text()
    assert not re.findall(r"""<(?:link|script|img)[^>]+(?:href|src)=["'](?!data:)""", text)
    assert not (results / details.FOLDER).exists()
    assert "MIT License" in text  # of the table library


def test_contents_then_tables_with_their_figures_then_every_run(written):
    text = written.read_text()
    links, ids = re.findall('href="#(.*?)"', text), re.findall('<section id="(.*?)"', text)
    assert links == ids
    assert ids[-1] == "runs-one-by-one"
    assert "table-glue" in ids[:-1]
    assert "GLUE, development split" in text
    (caption,) = re.findall("<figcaption>(.*?)</figcaption>", text)
    assert caption.startswith("minilm: Scores against the FLOPs of a forward pass.")
    assert len(re.findall('<img src="data:image/svg', text)) == 1  # a figure that no table asks for is left out


def test_claims_stand_at_the_top(results):
    write([], [], results, claims="<p>A claim.</p>")
    text = (results / "page.html").read_text()
    assert re.findall('<section id="(.*?)"', text) == ["claims", "runs-one-by-one"]
    assert text.index('href="#claims"') < text.index("<p>A claim.</p>") < text.index('id="runs-one-by-one"')


def test_a_second_page_is_the_same_bytes(written, results):
    before = written.read_bytes()
    assert main(["page", "--results", str(results)]) == 0
    assert written.read_bytes() == before


def test_no_text_of_a_record_can_break_out(make, tmp_path):
    evil = "</script><script>alert(1)</script>"
    record = make(method=evil)
    write([replace(record, made_by={"command": evil}, error=evil)], [], tmp_path)
    text = (tmp_path / "page.html").read_text()
    assert "alert(1)" not in text
    assert rows_of(text)[0][2] == evil
    (pack,) = re.findall(r'id="pack-0">(.*?)</script>', text)
    assert unpacked(pack)[record.run_id]["command"] == evil


def test_many_records_lie_next_to_the_page_and_go_with_it(make, tmp_path, monkeypatch):
    runs = [make(seed=seed) for seed in range(250)]
    monkeypatch.setattr(details, "INSIDE", 100)
    write(runs, [], tmp_path)
    text = (tmp_path / "page.html").read_text()
    assert 'id="pack-' not in text
    found = {}
    for path in (tmp_path / details.FOLDER).iterdir():
        number, pack = re.fullmatch(r'dseeRecords\((\d+), "(.*)"\);\n', path.read_text()).groups()
        assert path.name == f"{number}.js"
        for run in unpacked(pack):
            found[run] = int(number)
    places = {row[-1]: place // details.PACK for place, row in enumerate(rows_of(text))}
    assert found == places
    assert set(found) == {run.run_id for run in runs}
    write(runs[:100], [], tmp_path)
    assert [path.name for path in (tmp_path / details.FOLDER).iterdir()] == ["0.js"]
    monkeypatch.undo()
    (tmp_path / details.FOLDER / "kept.txt").write_text("not ours")
    write(runs, [], tmp_path)
    assert [path.name for path in (tmp_path / details.FOLDER).iterdir()] == ["kept.txt"]


@pytest.fixture
def browser():
    """Headless Chromium; skipped where it or selenium is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield opened
    opened.quit()


def test_in_a_browser_runs_can_be_sorted_filtered_and_opened(written, results, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    def find(selector):
        return browser.find_elements(By.CSS_SELECTOR, selector)

    def column(place):
        return browser.execute_script(
            "return [...document.querySelectorAll(`#runs tbody td:nth-child(${arguments[0]})`)].map(x => x.innerText)",
            place,
        )

    def until(condition):
        """DataTables sorts and draws a moment after the click; raises TimeoutException if it does not come to that."""
        WebDriverWait(browser, 60).until(lambda _: condition())

    def shown(count):
        return find(".dt-info")[0].text.startswith(f"Showing 1 to {count} of {count} entries")

    browser.get(written.as_uri())
    until(lambda: find("#filter-status"))
    assert shown(19)

    values = sorted(record.scores[0].value for record in read_all(results) if record.status == "finished")
    heading = find("#runs thead th:nth-child(8)")[0]
    heading.click()
    until(lambda: column(8) == ["–", *(f"{value:.4f}" for value in values)])  # the failed run below every number
    heading.click()
    until(lambda: column(8) == [*(f"{value:.4f}" for value in reversed(values)), "–"])

    (lora,) = [option for option in find("#filter-method option") if option.text == "lora"]
    lora.click()
    until(lambda: shown(6))
    assert set(column(3)) == {"lora"}
    find(".dt-search input")[0].send_keys("sst2")
    until(lambda: shown(3))

    find("button.open")[0].click()
    until(lambda: find(".record"))
    said = find(".record")[0].text
    for part in ("dsee-bench made=up", "train.learning_rate 0.0005", "trainable_parameters 1,000", "accuracy|made-up"):
        assert part in said
    find("button.open")[0].click()
    until(lambda: not find(".record"))
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def wait(browser, condition):
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 60).until(lambda _: condition())


def found(browser, selector):
    from selenium.webdriver.common.by import By

    return browser.find_elements(By.CSS_SELECTOR, selector)


@contextlib.contextmanager
def served(folder):
    """The folder over HTTP."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/page.html"
        server.shutdown()


@pytest.mark.parametrize("how", ["file", "http"])
def test_in_a_browser_a_record_next_to_the_page_is_opened(make, tmp_path, monkeypatch, browser, how):
    monkeypatch.setattr(details, "INSIDE", 100)
    write([make(seed=seed) for seed in range(250)], [], tmp_path)
    with served(tmp_path) as url:
        browser.get(url if how == "http" else (tmp_path / "page.html").as_uri())
        wait(browser, lambda: found(browser, ".dt-info"))
        found(browser, "button.open")[0].click()
        wait(browser, lambda: "dsee-bench made=up" in found(browser, ".record")[0].text)
        (tmp_path / details.FOLDER / "2.js").unlink()
        browser.execute_script("document.querySelector('.dt-paging button.last').click()")
        wait(browser, lambda: found(browser, ".dt-info")[0].text == "Showing 226 to 250 of 250 entries")
        found(browser, "#runs tbody button.open")[-1].click()
        wait(browser, lambda: "2.js is missing: it belongs next to this page" in found(browser, ".record")[-1].text)


FILTER = """
const [selector, value] = arguments, control = document.querySelector(selector);
control.value = value;
control.dispatchEvent(new Event(control.type === "search" ? "input" : "change"));
"""


def test_in_a_browser_twenty_thousand_runs_are_filtered_within_a_tenth_of_a_second(make, tmp_path, browser):
    """Seconds of the browser's thread, so that a busy machine does not fail it."""
    runs = [make(task, method, seed) for task in ("rte", "sst2") for method in ("dsee", "lora") for seed in range(5000)]
    write(runs, [], tmp_path)
    assert (tmp_path / "page.html").stat().st_size < 5e6
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})

    def spent():
        metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    browser.get((tmp_path / "page.html").as_uri())
    wait(browser, lambda: found(browser, ".dt-info"))
    filters = [
        # control,           value,        runs left
        ("#filter-method", "lora", "10,000"),
        ("#filter-task", "sst2", "5,000"),
        (".dt-search input", "LoRA 4999", "1"),
        (".dt-search input", "", "5,000"),
        ("#filter-method", "", "10,000"),
    ]
    for selector, value, left in filters:
        before = spent()
        browser.execute_script(FILTER, selector, value)
        wait(browser, lambda left=left: f" of {left} entr" in found(browser, ".dt-info")[0].text)
        assert spent() - before < 0.1, selector


def test_in_a_browser_nothing_is_wider_than_1400_pixels(browser, tmp_path):
    (tmp_path / "runs").symlink_to(default_results_dir() / "runs")
    assert main(["page", "--results", str(tmp_path)]) == 0
    browser.get((tmp_path / "page.html").as_uri())
    wait(browser, lambda: found(browser, ".dt-info"))
    script = (
        "return [...document.querySelectorAll('html, section')].map((node) => [node.scrollWidth, node.clientWidth])"
    )
    widths = browser.execute_script(script)
    assert len(widths) > 5
    assert all(content <= room <= 1400 for content, room in widths)

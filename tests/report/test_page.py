"""The results page: self-contained, not broken by what records hold, and working in a real browser."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from dsee_bench.cli.report import main
from dsee_bench.record import read_all
from dsee_bench.report.page.page import page


@pytest.fixture
def written(results):
    """The page of the made-up results, written as a user does."""
    (results / "plots").mkdir()
    (results / "plots" / "glue-dots-minilm.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert main(["page", "--results", str(results)]) == 0
    return results / "page.html"


def test_it_loads_nothing_from_outside(written):
    text = written.read_text()
    assert not re.findall(r"""<(?:link|script|img)[^>]+(?:href|src)=["'](?!data:)""", text)
    assert len(re.findall('<img src="data:image/svg', text)) == 1
    assert "GLUE, development split" in text
    assert "MIT License" in text  # of the table library


def test_a_second_page_is_the_same_bytes(written, results):
    before = written.read_bytes()
    assert main(["page", "--results", str(results)]) == 0
    assert written.read_bytes() == before


def test_no_text_of_a_record_can_break_out(make, tmp_path):
    evil = "</script><script>alert(1)</script>"
    record = make(method=evil)
    text = page([replace(record, made_by={"command": evil}, error=evil)], [], tmp_path)
    assert "<script>alert" not in text
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text
    (details,) = re.findall(r'id="details">(.*?)</script>', text)
    assert json.loads(details)[record.run_id]["command"] == evil


@pytest.fixture
def browser():
    """Headless Chromium; skipped where it or selenium is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1500,1100"):
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

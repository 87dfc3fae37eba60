// The table of runs: pages and sorting are DataTables'; filters, search and opening a record are ours.
const source = document.getElementById("library").textContent;
const { default: DataTable } = await import(`data:text/javascript;base64,${source}`);
const { pack: PACK, folder: FOLDER } = document.getElementById("script").dataset;
const FILTERS = [[0, "Task"], [1, "Backbone"], [2, "Method"], [5, "Status"]];
const NUMBERS = [7, 8, 9, 10, 11]; // columns whose cells are [number, text], or null
const STATUS = 5, RUN = 13;
const rows = await unpack(document.getElementById("rows").textContent);
const packOf = new Map(rows.map((row, place) => [row[RUN], Math.floor(place / PACK)]));

// The JSON in a base64 text of gzip.
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function element(tag, text, ...children) {
  const node = document.createElement(tag);
  if (text !== null) node.textContent = text;
  node.append(...children);
  return node;
}

// DataTables takes what is shown for HTML.
function escaped(text) {
  return String(text).replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

function column(_, place) {
  if (NUMBERS.includes(place))
    return {
      type: "num",
      className: "number",
      render: (cell, use) => (use === "sort" || use === "type" ? (cell ? cell[0] : -1e300) : cell ? cell[1] : "–"),
    };
  if (place === RUN)
    return {
      render: (run, use) =>
        use === "display"
          ? `<button class="open" aria-expanded="false" title="${escaped(run)}">${escaped(run.split("-").at(-1))}</button>`
          : run,
    };
  return { render: (text, use) => (use === "display" ? escaped(text) : text) };
}

// Filters and search: one look at every row; DataTables' own search takes a second for 20,000.
const texts = rows.map((row) => row.map((cell) => (Array.isArray(cell) ? cell[1] : cell)).join(" ").toLowerCase());
const kept = new Uint8Array(rows.length).fill(1);
const selects = FILTERS.map(([place, name]) => {
  const values = [...new Set(rows.map((row) => row[place]))].sort();
  const select = element("select", null, new Option("all", ""), ...values.map((value) => element("option", value)));
  select.id = `filter-${name.toLowerCase()}`;
  document.getElementById("filters").append(element("label", name, select));
  return select;
});
const search = element("input", null);
search.type = "search";

function refilter() {
  const wanted = selects.map((select, number) => [FILTERS[number][0], select]).filter(([, select]) => select.selectedIndex > 0);
  const words = search.value.toLowerCase().split(" ").filter(Boolean);
  rows.forEach((row, place) => {
    kept[place] =
      wanted.every(([column, select]) => row[column] === select.value) && words.every((word) => texts[place].includes(word));
  });
  table.draw();
}

const table = new DataTable("#runs", {
  data: rows,
  columns: [...document.querySelectorAll("#runs thead th")].map(column),
  createdRow: (line, row) => {
    line.dataset.run = row[RUN];
    line.cells[STATUS].classList.add(row[STATUS]);
  },
  pageLength: 25,
  order: [],
  autoWidth: false,
  deferRender: true,
  layout: { topEnd: () => Object.assign(element("div", null, element("label", "Search: ", search)), { className: "dt-search" }) },
});
table.search.fixed("ours", (_text, _row, place) => kept[place] === 1);
for (const select of selects) select.addEventListener("change", refilter);
search.addEventListener("input", refilter);

// The records of a pack: in the page, or in a script next to it. A page from disk may load a script, not read a file.
const packs = new Map();
const arriving = new Map();
window.dseeRecords = (number, text) => arriving.get(number)?.(text);

function packed(number) {
  const inside = document.getElementById(`pack-${number}`);
  if (inside) return Promise.resolve(inside.textContent);
  return new Promise((resolve, reject) => {
    arriving.set(number, resolve);
    const script = document.createElement("script");
    script.src = `${FOLDER}/${number}.js`;
    script.onerror = () => reject(new Error(`${FOLDER}/${number}.js is missing: it belongs next to this page`));
    document.head.append(script);
  });
}

async function detailsOf(run) {
  const number = packOf.get(run);
  if (!packs.has(number)) packs.set(number, packed(number).then(unpack));
  const record = (await packs.get(number))[run];
  if (!record) throw new Error(`${FOLDER} is of another page: run dsee-report page again`);
  return record;
}

function flatten(value, prefix = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value))
    return [[prefix, Array.isArray(value) ? value.join(", ") : String(value ?? "–")]];
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, prefix ? `${prefix}.${key}` : key));
}

function grid(lines) {
  const headings = [...new Set(lines.flatMap((line) => Object.keys(line)))];
  const body = lines.map((line) => element("tr", null, ...headings.map((head) => element("td", String(line[head] ?? "–")))));
  const top = element("tr", null, ...headings.map((head) => element("th", head)));
  return element("table", null, element("thead", null, top), element("tbody", null, ...body));
}

function pairs(content) {
  const lines = flatten(content).map(([key, value]) => element("tr", null, element("th", key), element("td", value)));
  return element("table", null, element("tbody", null, ...lines));
}

function fill(box, record) {
  box.replaceChildren(element("h3", "The command that repeats it"), element("code", record.command));
  if (record.error) box.append(element("h3", "Error"), element("pre", record.error));
  for (const part of ["scores", "retention", "costs", "stages", "data"])
    if (record[part].length) box.append(element("h3", part), grid(record[part]));
  box.append(element("h3", "settings"), pairs(record.config), element("h3", "made by"), pairs(record.made_by));
}

document.querySelector("#runs tbody").addEventListener("click", (event) => {
  const line = event.target.closest("tr[data-run]");
  if (!line) return;
  const row = table.row(line);
  const open = row.child.isShown();
  if (open) row.child.hide();
  else {
    const box = element("div", "…");
    box.className = "record";
    row.child(box).show();
    detailsOf(line.dataset.run).then(
      (record) => fill(box, record),
      (error) => box.replaceChildren(element("p", error.message)),
    );
  }
  line.querySelector("button.open").setAttribute("aria-expanded", String(!open));
});

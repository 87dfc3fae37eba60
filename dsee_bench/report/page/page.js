// The table of runs: sorting and searching are DataTables', opening a record and the four filters are ours.
const source = document.getElementById("library").textContent;
const { default: DataTable } = await import(`data:text/javascript;base64,${source}`);
const details = JSON.parse(document.getElementById("details").textContent);
const FILTERS = [[0, "Task"], [1, "Backbone"], [2, "Method"], [5, "Status"]];

const table = new DataTable("#runs", { pageLength: 25, order: [], autoWidth: false });

function element(tag, text, ...children) {
  const node = document.createElement(tag);
  if (text !== null) node.textContent = text;
  node.append(...children);
  return node;
}

function flatten(value, prefix = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value))
    return [[prefix, Array.isArray(value) ? value.join(", ") : String(value ?? "–")]];
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, prefix ? `${prefix}.${key}` : key));
}

function grid(rows) {
  const headings = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const lines = rows.map((row) => element("tr", null, ...headings.map((head) => element("td", String(row[head] ?? "–")))));
  const top = element("tr", null, ...headings.map((head) => element("th", head)));
  return element("table", null, element("thead", null, top), element("tbody", null, ...lines));
}

function pairs(content) {
  const lines = flatten(content).map(([key, value]) => element("tr", null, element("th", key), element("td", value)));
  return element("table", null, element("tbody", null, ...lines));
}

function recordOf(run) {
  const record = details[run];
  const box = element("div", null, element("h3", "The command that repeats it"), element("code", record.command));
  box.className = "record";
  if (record.error) box.append(element("h3", "Error"), element("pre", record.error));
  for (const part of ["scores", "costs", "stages", "data"])
    if (record[part].length) box.append(element("h3", part), grid(record[part]));
  box.append(element("h3", "settings"), pairs(record.config), element("h3", "made by"), pairs(record.made_by));
  return box;
}

document.querySelector("#runs tbody").addEventListener("click", (event) => {
  const line = event.target.closest("tr[data-run]");
  if (!line) return;
  const row = table.row(line);
  const open = row.child.isShown();
  if (open) row.child.hide();
  else row.child(recordOf(line.dataset.run)).show();
  line.querySelector("button.open").setAttribute("aria-expanded", String(!open));
});

for (const [place, name] of FILTERS) {
  const values = [...new Set(table.column(place).data().toArray())].sort();
  const options = values.map((value) => element("option", value));
  const select = element("select", null, new Option("all", ""), ...options);
  select.id = `filter-${name.toLowerCase()}`;
  select.addEventListener("change", () => {
    table.column(place).search(select.value, { exact: true }).draw();
  });
  document.getElementById("filters").append(element("label", name, select));
}

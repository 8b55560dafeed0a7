// Shows openapi.json. Every text goes in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const LEGACY = " (GoWA's paths)";
// Groups in the order people need them; what is not listed comes after, by name.
const ORDER = ["sessions", "app", "send", "message", "chats", "chat", "group", "user", "newsletter", "call",
  "webhooks", "keys", "devices", "device", "instance"];
let description;

// --- what is remembered while the tab is open

function remember(id) {
  const input = document.getElementById(id);
  input.value = sessionStorage.getItem(`docs-${id}`) || "";
  input.addEventListener("input", () => sessionStorage.setItem(`docs-${id}`, input.value));
}

const THEMES = { Auto: "light dark", Light: "light", Dark: "dark" };

function theme(name) {
  document.documentElement.style.colorScheme = THEMES[name];
  document.documentElement.dataset.theme = name;
  document.getElementById("theme").textContent = name;
  localStorage.setItem("docs-theme", name);
}


function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// `code` and **bold** of the texts; nothing else of Markdown is used in them.
function prose(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).filter(Boolean).map((piece) => {
    if (piece.startsWith("`")) return make("code", {}, piece.slice(1, -1));
    if (piece.startsWith("**")) return make("strong", {}, piece.slice(2, -2));
    return piece;
  });
}

function resolve(node) {
  let found = node;
  for (let depth = 0; found && found.$ref && depth < 10; depth += 1) {
    found = found.$ref.slice(2).split("/").reduce((at, name) => at && at[name], description);
  }
  return found || {};
}

function typeOf(schema, depth = 0) {
  if (schema.$ref && depth > 1) return schema.$ref.split("/").pop();
  const one = resolve(schema);
  if (one.enum) return one.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in one) return JSON.stringify(one.const);
  if (one.anyOf) return one.anyOf.map((arm) => typeOf(arm, depth + 1)).join(" | ");
  if (one.type === "array") return `${typeOf(one.items || {}, depth + 1)}[]`;
  return one.format ? `${one.type} (${one.format})` : one.type || "any";
}

function limitsOf(schema) {
  const one = resolve(schema);
  const words = { minimum: "from", maximum: "to", minLength: "at least", maxLength: "at most" };
  const found = Object.keys(words).filter((name) => name in one).map((name) => `${words[name]} ${one[name]}`);
  if ("default" in one && one.default !== null) found.push(`default ${JSON.stringify(one.default)}`);
  return found.join(", ");
}

// A value of that shape to start from; `bare`: only with what must be there.
function example(schema, depth = 0, bare = false) {
  const one = resolve(schema);
  if (depth > 6) return null;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (one.examples && one.examples.length) return one.examples[0];
  if ("const" in one) return one.const;
  if (one.enum) return one.enum[0];
  if (one.anyOf) return example(one.anyOf[0], depth + 1, bare);
  if (one.type === "object") {
    const must = one.required || [];
    const members = Object.entries(one.properties || {}).filter(([name]) => !bare || must.includes(name));
    return Object.fromEntries(members.map(([name, member]) => [name, example(member, depth + 1, bare)]));
  }
  if (one.type === "array") return [example(one.items || {}, depth + 1)];
  if (one.type === "boolean") return one.default ?? false;
  if (one.type === "integer" || one.type === "number") return one.default ?? one.minimum ?? 0;
  if (one.type === "string") return one.default ?? "";
  return null;
}

function row(name, must, schema, about) {
  const label = make("td", {}, make("code", {}, name));
  if (must) label.append(make("span", { class: "must", title: "required" }, " *"));
  const said = [make("code", {}, typeOf(schema))];
  const limits = limitsOf(schema);
  if (limits) said.push(` ${limits}`);
  if (about) said.push(make("br"), ...prose(about));
  return make("tr", {}, label, make("td", {}, ...said));
}

function membersOf(schema) {
  const one = resolve(schema);
  const table = make("table");
  for (const [name, member] of Object.entries(one.properties || {})) {
    const about = member.description || resolve(member).description;
    table.append(row(name, (one.required || []).includes(name), member, about));
  }
  return table;
}

// A form holds the same members as the JSON, and a file.
function bodiesOf(contents) {
  const parts = [];
  const json = contents["application/json"];
  for (const [media, content] of Object.entries(contents)) {
    parts.push(make("h3", {}, "Body ", make("code", {}, media)));
    if (json && content !== json) {
      const files = Object.entries(resolve(content.schema).properties || {}).filter(([, one]) => one.format === "binary");
      const table = make("table");
      for (const [name, member] of files) table.append(row(name, false, member, "the file; its other fields are the members above"));
      parts.push(table);
    } else {
      const about = resolve(content.schema).description || "";
      parts.push(...about.split("\n\n").map((text) => make("p", {}, ...prose(text))), membersOf(content.schema));
    }
  }
  return parts;
}

function parametersOf(operation) {
  const table = make("table");
  for (const one of operation.parameters) {
    table.append(row(`${one.name} (${one.in})`, one.required, one.schema, one.description || one.schema.description));
  }
  return table;
}

function answersOf(operation) {
  const parts = [];
  for (const [status, given] of Object.entries(operation.responses)) {
    if (given.$ref) continue;
    for (const [media, content] of Object.entries(given.content || { "no body": {} })) {
      parts.push(make("p", {}, make("strong", {}, status), ` ${given.description} `, make("code", {}, media)));
      if (media.endsWith("json")) {
        parts.push(make("pre", {}, JSON.stringify(example(content.schema), null, 2)));
      }
    }
  }
  const refusals = Object.keys(operation.responses).filter((status) => operation.responses[status].$ref);
  parts.push(make("p", {}, `Errors: ${refusals.join(", ")}.`));
  return parts;
}

function trying(path, method, operation) {
  const form = make("form", { class: "try" });
  const fields = make("div", { class: "fields" });
  form.append(fields);
  const inputs = operation.parameters.map((one) => {
    const kind = resolve(one.schema);
    const input = make("input", { autocomplete: "off", spellcheck: "false" });
    if (one.required) input.required = true;
    if (kind.default !== undefined && kind.default !== null) input.placeholder = String(kind.default);
    if (one.in === "path" && one.name === "session") input.value = document.getElementById("session").value;
    fields.append(make("label", {}, make("span", {}, one.name, make("small", {}, ` ${one.in}${one.required ? " *" : ""}`)), input));
    return [one, input];
  });
  const media = operation.requestBody ? Object.keys(operation.requestBody.content) : [];
  let body = null;
  let files = null;
  if (media.includes("application/json")) {
    body = make("textarea", { "aria-label": "JSON body", spellcheck: "false" });
    body.value = JSON.stringify(example(operation.requestBody.content["application/json"].schema, 0, true), null, 2);
    form.append(body);
  }
  if (media.includes("multipart/form-data")) {
    const parts = resolve(operation.requestBody.content["multipart/form-data"].schema).properties;
    const name = Object.keys(parts).find((part) => parts[part].format === "binary");
    files = make("input", { type: "file", name });
    fields.append(make("label", {}, make("span", {}, name, make("small", {}, " file")), files));
  }
  const shown = make("div", { role: "status" });
  form.append(make("button", { class: method }, `Send ${method.toUpperCase()}`), shown);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    shown.replaceChildren(make("p", {}, "…"));
    try {
      shown.replaceChildren(...(await ask(path, method, inputs, body, files)));
    } catch (error) {
      shown.replaceChildren(make("p", {}, String(error)));
    }
  });
  return form;
}

async function ask(path, method, inputs, body, files) {
  let target = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const [one, input] of inputs) {
    if (one.in === "path") target = target.replace(`{${one.name}}`, encodeURIComponent(input.value));
    else if (!input.value) continue;
    else if (one.in === "query") query.append(one.name, input.value);
    else headers[one.name] = input.value;
  }
  const key = document.getElementById("key").value;
  const token = document.cookie.split("; ").find((pair) => pair.startsWith("zapvisor_csrf="));
  if (key) headers["X-API-Key"] = key;
  else if (token) headers["X-CSRF-Token"] = decodeURIComponent(token.split("=")[1]);
  let sent;
  if (files && files.files.length) {
    sent = new FormData();
    for (const [name, value] of Object.entries(body ? JSON.parse(body.value) : {})) {
      if (value !== null && value !== "") sent.append(name, typeof value === "object" ? JSON.stringify(value) : value);
    }
    sent.append(files.name, files.files[0]);
  } else if (body) {
    sent = body.value;
    headers["Content-Type"] = "application/json";
  }
  const base = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const asked = query.size ? `${target}?${query}` : target;
  const started = performance.now();
  const answer = await fetch(base + asked, {
    method: method.toUpperCase(), headers, body: sent, credentials: key ? "omit" : "same-origin",
  });
  const took = `${Math.round(performance.now() - started)} ms`;
  const head = make("p", { class: answer.ok ? "good" : "bad" }, make("strong", {}, String(answer.status)),
    ` ${answer.headers.get("Content-Type") || ""} ${took} `, make("code", {}, `${method.toUpperCase()} ${asked}`));
  if ((answer.headers.get("Content-Type") || "").startsWith("image/")) {
    const picture = make("img", { alt: "the answer" });
    picture.src = URL.createObjectURL(await answer.blob());
    return [head, picture];
  }
  const text = await answer.text();
  try {
    return [head, make("pre", {}, JSON.stringify(JSON.parse(text), null, 2))];
  } catch {
    return [head, make("pre", {}, text.slice(0, 20000))];
  }
}

function show(path, method, operation) {
  const whole = make("details", { id: operation.operationId });
  whole.append(
    make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), make("code", {}, path),
      make("span", { class: "about" }, ...prose(operation.summary || ""))),
  );
  // Filled when opened: there are hundreds of them.
  whole.addEventListener("toggle", () => {
    if (!whole.open || whole.children.length > 1) return;
    const body = make("div", { class: "body" });
    if (operation.description) body.append(make("p", {}, ...prose(operation.description)));
    if (operation.parameters.length) body.append(make("h3", {}, "Parameters"), parametersOf(operation));
    body.append(...bodiesOf((operation.requestBody || {}).content || {}));
    body.append(make("h3", {}, "Answers"), ...answersOf(operation), make("h3", {}, "Try it"), trying(path, method, operation));
    whole.append(body);
  });
  whole.dataset.text = `${method} ${path} ${operation.summary || ""}`.toLowerCase();
  return whole;
}

function place(name) {
  const at = ORDER.indexOf(name.replace(LEGACY, ""));
  return (name.endsWith(LEGACY) ? 1000 : 0) + (at < 0 ? 500 : at);
}

function heading(name) {
  if (name.endsWith(LEGACY)) return "At GoWA's own paths";
  return ORDER.indexOf(name) >= 0 && ORDER.indexOf(name) < ORDER.indexOf("webhooks") ? "A session" : "The fleet";
}

function render() {
  const routes = document.getElementById("routes");
  const groups = new Map(description.tags.map((tag) => [tag.name, []]));
  for (const [path, operations] of Object.entries(description.paths)) {
    for (const method of METHODS) {
      if (operations[method]) groups.get(operations[method].tags[0]).push(show(path, method, operations[method]));
    }
  }
  document.getElementById("version").textContent = description.info.version;
  const intro = description.info.description.split("\n\n").map((text) => make("p", {}, ...prose(text.replaceAll("\n", " "))));
  routes.replaceChildren(make("div", { class: "intro" }, ...intro));
  const menu = document.getElementById("tags");
  let above = "";
  for (const [name, entries] of [...groups].sort(([a], [b]) => place(a) - place(b) || a.localeCompare(b))) {
    const id = `tag-${name.replace(/\W+/g, "-")}`;
    const short = name.replace(LEGACY, "");
    if (heading(name) !== above) {
      above = heading(name);
      menu.append(make("h2", {}, above));
    }
    const title = name === short ? short : `${short}, at GoWA's own paths`;
    routes.append(make("section", { "data-link": id }, make("h2", { id }, title), ...entries));
    menu.append(make("a", { href: `#${id}`, id: `to-${id}` }, short, make("small", {}, String(entries.length))));
  }
  follow();
}

// Every word must be there: "send image" finds POST /api/{session}/send/image.
function search() {
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const section of document.querySelectorAll("#routes section")) {
    let any = 0;
    for (const entry of section.querySelectorAll("details")) {
      entry.hidden = !words.every((word) => entry.dataset.text.includes(word));
      any += entry.hidden ? 0 : 1;
    }
    section.hidden = !any;
    document.getElementById(`to-${section.dataset.link}`).classList.toggle("none", !any);
    count += any;
  }
  document.querySelector(".intro").hidden = words.length > 0;
  document.getElementById("found").textContent = words.length ? `${count} found` : "";
}

// A link to a route opens it.
function follow() {
  const wanted = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (wanted && wanted.tagName === "DETAILS") {
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

theme(localStorage.getItem("docs-theme") in THEMES ? localStorage.getItem("docs-theme") : "Auto");
remember("session");
document.getElementById("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});
document.getElementById("with").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("filter").addEventListener("input", search);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) {
    event.preventDefault();
    document.getElementById("filter").focus();
  }
});
window.addEventListener("hashchange", follow);

(async () => {
  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
    description = await answer.json();
    render();
  } catch (error) {
    document.getElementById("state").textContent = `The description could not be loaded: ${error.message}`;
  }
})();

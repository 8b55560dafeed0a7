// Shows openapi.json. Every text goes in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
let description;

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
    table.append(row(name, (one.required || []).includes(name), member, resolve(member).description));
  }
  return table;
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
  const form = make("form");
  const inputs = operation.parameters.map((one) => {
    const input = make("input", { placeholder: `${one.name} (${one.in})`, "aria-label": `${one.name} (${one.in})` });
    form.append(input, " ");
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
    files = make("input", { type: "file", name, "aria-label": name });
    form.append(files, " ");
  }
  const shown = make("div", { role: "status" });
  form.append(make("button", {}, "Send"), shown);
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
  if (key) headers["X-API-Key"] = key;
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
  const answer = await fetch(base + asked, { method: method.toUpperCase(), headers, body: sent });
  const head = make("p", {}, make("strong", {}, String(answer.status)), ` ${answer.headers.get("Content-Type") || ""}`);
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
    for (const [media, content] of Object.entries((operation.requestBody || {}).content || {})) {
      body.append(make("h3", {}, `Body: ${media}`), membersOf(content.schema));
    }
    body.append(make("h3", {}, "Answers"), ...answersOf(operation), make("h3", {}, "Try it"), trying(path, method, operation));
    whole.append(body);
  });
  whole.dataset.text = `${method} ${path} ${operation.summary || ""}`.toLowerCase();
  return whole;
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
  for (const [name, entries] of groups) {
    const id = `tag-${name.replace(/\W+/g, "-")}`;
    routes.append(make("section", {}, make("h2", { id }, name), ...entries));
    document.getElementById("tags").append(make("a", { href: `#${id}` }, name));
  }
}

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const section of document.querySelectorAll("#routes section")) {
    let any = false;
    for (const entry of section.querySelectorAll("details")) {
      entry.hidden = !entry.dataset.text.includes(wanted);
      any ||= !entry.hidden;
    }
    section.hidden = !any;
  }
});

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

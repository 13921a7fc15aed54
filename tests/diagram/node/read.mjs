// Reads one JSON text {"text": …} a line; answers each with what the real Mermaid understood and
// drew: its kind, its states with the lines that are shown, its edges.
import { createInterface } from "node:readline";
import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!DOCTYPE html><body></body>", { pretendToBeVisual: true });
Object.defineProperty(globalThis, "window", { value: window, configurable: true });
const names = ["document", "Element", "HTMLElement", "SVGElement", "Node", "CSSStyleSheet"];
for (const name of names) {
  Object.defineProperty(globalThis, name, { value: window[name], configurable: true });
}
// There is no layout engine here: text is as wide as its characters are many.
const box = function () {
  const width = 8 * Math.max(1, ...(this.textContent || "").split("\n").map((line) => line.length));
  return { x: 0, y: 0, width, height: 20, top: 0, left: 0, right: width, bottom: 20 };
};
window.SVGElement.prototype.getBBox = box;
window.Element.prototype.getBoundingClientRect = box;
window.SVGElement.prototype.getComputedTextLength = function () {
  return box.call(this).width;
};

const { default: mermaid } = await import("mermaid");
mermaid.initialize({ startOnLoad: false, securityLevel: "strict", htmlLabels: false });

const shown = (text) => {
  const marked = String(text ?? "").replaceAll("ﬂ°°", "&#").replaceAll("ﬂ°", "&").replaceAll("¶ß", ";");
  const holder = window.document.createElement("div");
  holder.innerHTML = marked.replaceAll(/<br\s*\/?>/g, "\n");
  return holder.textContent;
};

const states = (db) => {
  const { nodes, edges } = db.getData();
  return {
    direction: db.getDirection(),
    states: nodes.map((node) => ({
      id: node.id,
      shape: node.shape,
      lines: [node.label, node.description].flat().filter((line) => line).map(shown),
      parent: node.parentId ?? null,
      group: Boolean(node.isGroup),
      css: (node.cssCompiledStyles ?? []).join(";"),
    })),
    edges: edges.map((edge) => [edge.start, edge.end, shown(edge.label)]),
    relations: db.getRelations().map((edge) => [edge.id1, edge.id2, shown(edge.relationTitle)]),
  };
};

const flow = (db) => ({
  direction: db.getDirection(),
  states: [...db.getVertices().values()].map((vertex) => ({
    id: vertex.id,
    type: vertex.type,
    lines: shown(vertex.text).split("\n"),
    classes: vertex.classes ?? [],
  })),
  edges: db.getEdges().map((edge) => [edge.start, edge.end, shown(edge.text)]),
});

const sequence = (db) => ({
  states: [...db.getActors().values()].map((actor) => ({
    id: actor.name,
    lines: shown(actor.description).split("\n"),
  })),
  edges: db
    .getMessages()
    .filter((message) => message.from && message.to && message.placement === undefined)
    .map((message) => [message.from, message.to, shown(message.message)]),
});

const readers = { stateDiagram: states, "flowchart-v2": flow, sequence };
const titleOf = (svg) => {
  const holder = window.document.createElement("div");
  holder.innerHTML = svg;
  const found = [...holder.querySelectorAll("text")].find(
    (text) => /TitleText$/.test(text.getAttribute("class") ?? "") || !text.closest("g"),
  );
  return found?.textContent ?? "";
};

const answer = async (text) => {
  try {
    const diagram = await mermaid.mermaidAPI.getDiagramFromText(text);
    const { svg } = await mermaid.render("drawn", text);
    const read = await mermaid.mermaidAPI.getDiagramFromText(text);
    return {
      ok: true,
      type: diagram.type,
      title: titleOf(svg),
      drawn: svg.length,
      undecoded: /ﬂ°|¶ß/.test(svg),
      ...readers[diagram.type](read.db),
    };
  } catch (error) {
    return { ok: false, error: String(error?.stack ?? error).slice(0, 2000) };
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line).text))}\n`);
}

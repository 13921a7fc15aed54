// The goal's tools for pi. Each call is put to whoever started pi, as a question with an answer in JSON.
export default function (pi: any) {
  for (const tool of JSON.parse(process.env.GOALFSM_TOOLS ?? "[]")) {
    pi.registerTool({
      name: tool.name,
      label: tool.name,
      description: tool.description,
      parameters: tool.parameters,
      async execute(_id: string, given: any, _signal: any, _update: any, context: any) {
        const call = JSON.stringify({ name: tool.name, arguments: given ?? {} });
        const said = JSON.parse((await context.ui.input("goalfsm", call)) ?? '{"ok":false}');
        if (!said.ok) throw new Error(said.text ?? "the call was not answered");
        return { content: [{ type: "text", text: said.text }], details: {} };
      },
    });
  }
}

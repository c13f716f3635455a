// Ask a device from Node 18 or a browser: node ask.mjs http://127.0.0.1:8080 MODEL 0.1 0.2 0.3 0.4
// A page needs "edge serve --origin", with the page's own origin.

/** Answer one row: labels and probabilities by output name, and the id for feedback. */
export async function predict(url, model, row) {
  const about = await (await fetch(`${url}/v2/models/${model}`)).json();
  const [input] = about.inputs;
  const head = JSON.stringify({
    inputs: [{ name: input.name, datatype: input.datatype, shape: [1, row.length],
               parameters: { binary_data_size: 4 * row.length } }],
  });
  const response = await fetch(`${url}/v2/models/${model}/infer`, {
    method: "POST",
    headers: { "Inference-Header-Content-Length": new TextEncoder().encode(head).length },
    body: new Blob([head, new Float32Array(row)]),  // typed arrays are little-endian, as the protocol
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  const outputs = Object.fromEntries(answer.outputs.map((each) => [each.name, each.data]));
  return { id: answer.parameters.prediction_id, source: answer.parameters.source, outputs };
}

/** Tell the device the right label, whenever it is known. */
export async function feedback(url, model, id, label) {
  const response = await fetch(`${url}/v2/models/${model}/feedback`,
    { method: "POST", body: JSON.stringify({ id, label }) });
  if (!response.ok) throw new Error((await response.json()).error);
}

if (globalThis.process?.argv[1]?.endsWith("ask.mjs")) {
  const [url, model, ...row] = process.argv.slice(2);
  try {
    const answer = await predict(url, model, row.map(Number));
    await feedback(url, model, answer.id, 1);
    console.log(JSON.stringify(answer));
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}

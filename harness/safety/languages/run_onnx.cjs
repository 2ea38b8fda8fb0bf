// Run an ONNX model with onnxruntime's build for Node.js.
// Usage: node run_onnx.cjs FOLDER_OF_NODE_MODULES MODEL INPUT OUTPUT
// INPUT and OUTPUT are JSON: [{name, type, dims, data}], with the bytes of each tensor in base64.
"use strict";
const fs = require("fs");

const ARRAYS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, bool: Uint8Array };

async function main([modules, model, input, output]) {
  const runtime = require(require.resolve("onnxruntime-node", { paths: [modules] }));
  const session = await runtime.InferenceSession.create(model);
  const feeds = {};
  for (const { name, type, dims, data } of JSON.parse(fs.readFileSync(input, "utf8"))) {
    const bytes = new Uint8Array(Buffer.from(data, "base64"));
    if (session.inputNames.includes(name)) feeds[name] = new runtime.Tensor(type, new ARRAYS[type](bytes.buffer), dims);
  }
  const found = await session.run(feeds);
  fs.writeFileSync(output, JSON.stringify(session.outputNames.map((name) => {
    const { type, dims, data } = found[name];
    return { name, type, dims: [...dims], data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64") };
  })));
}

main(process.argv.slice(2)).catch((error) => { console.error(String(error && error.message || error)); process.exit(1); });

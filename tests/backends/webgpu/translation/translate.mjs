// Shaders on stdin, [{ name, code }]; on stdout { name: { msl, hlsl } } or { name: { error } }, by naga.
import { readFileSync } from "node:fs";
import { parseWgsl, validate, writeHlsl, writeMsl } from "naga-wasm";

function translate(code) {
  const module = parseWgsl(code);
  const info = validate(module);
  return {
    msl: writeMsl(module, info, { langVersion: [2, 4] }),
    hlsl: writeHlsl(module, info, { shaderModel: "6_2" }),
  };
}

const answers = {};
for (const { name, code } of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    answers[name] = translate(code);
  } catch (error) {
    answers[name] = { error: error.formatted ?? String(error) };
  }
}
process.stdout.write(JSON.stringify(answers));

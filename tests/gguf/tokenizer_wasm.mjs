// Runs the wasm32 tokenizer in Node: node tokenizer_wasm.mjs MODULE REQUEST.json
// The request holds the metadata (arrays in base64) and texts; the answer, on stdout, what the C API makes of them.
import { readFileSync } from "node:fs";

const [modulePath, requestPath] = process.argv.slice(2);
const request = JSON.parse(readFileSync(requestPath, "utf8"));
const module = new WebAssembly.Module(readFileSync(modulePath));
const api = new WebAssembly.Instance(module, {}).exports; // it imports nothing: no files, no clock, no threads
api._initialize();

const view = () => new DataView(api.memory.buffer); // memory may move when it grows
const place = (bytes) => {
  const address = api.ot_alloc(Math.max(bytes.length, 1));
  new Uint8Array(api.memory.buffer).set(bytes, address);
  return address;
};
const take = (address, size) => Buffer.from(api.memory.buffer, address, size);

const ARRAYS = ["model", "pre", "name", "architecture", "tokens", "merges", "scores", "types", "charsmap"];
const NUMBERS = ["bos", "eos", "eot", "eom", "unknown", "separator", "add_bos", "add_eos", "add_space_prefix"];
NUMBERS.push("remove_extra_whitespaces", "lowercase", "strip_accents");

function placeMetadata() {
  const words = [];
  for (const key of ARRAYS) {
    const array = request.metadata[key];
    const bytes = array ? Buffer.from(array.data, "base64") : null;
    words.push(bytes ? place(bytes) : 0, bytes ? bytes.length : 0, array ? array.count : 0);
  }
  for (const key of NUMBERS) words.push(request.metadata[key]);
  const address = api.ot_alloc(words.length * 4);
  words.forEach((word, i) => view().setInt32(address + 4 * i, word, true));
  return address;
}

const ERROR_BYTES = 256;
const error = api.ot_alloc(ERROR_BYTES);
const tokenizer = api.ot_new(placeMetadata(), error, ERROR_BYTES);
if (!tokenizer) {
  const message = take(error, ERROR_BYTES);
  console.log(JSON.stringify({ error: message.subarray(0, message.indexOf(0)).toString() }));
  process.exit(0);
}

function encode(text) {
  const bytes = Buffer.from(text);
  const capacity = bytes.length + 8;
  const ids = api.ot_alloc(capacity * 4);
  const count = api.ot_encode(tokenizer, place(bytes), bytes.length, 0, ids, capacity);
  return { ids, count, list: Array.from({ length: count }, (_, i) => view().getInt32(ids + 4 * i, true)) };
}

function decode(ids, count) {
  const size = api.ot_decode(tokenizer, ids, count, 0, 0, 0);
  const text = api.ot_alloc(size + 1);
  api.ot_decode(tokenizer, ids, count, 0, text, size);
  return take(text, size).toString();
}

function stream(list) {
  const decoder = api.ot_stream_new(tokenizer, 0);
  const pieces = [...list, -1].map((id) => {
    const size = api.ot_stream_push(decoder, id);
    return take(api.ot_stream_text(decoder), size).toString();
  });
  api.ot_stream_free(decoder);
  return pieces;
}

const answers = request.texts.map((text) => {
  const { ids, count, list } = encode(text);
  return { ids: list, text: decode(ids, count), pieces: stream(list) };
});
api.ot_free(tokenizer);
console.log(JSON.stringify({ answers }));

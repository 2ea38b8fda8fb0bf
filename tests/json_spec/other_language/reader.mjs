// A reader of JSON-spec, version 1, written from FORMAT.md alone and without a library: `node reader.mjs DIRECTORY`.
//
// Checks the artifact as FORMAT.md says and prints one JSON value: the state of the model, every value as
// `described.py` gives it for the model itself. It makes no object and runs nothing. Exit status 1: refused, with the reason.

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const MAX_TEXT = 256 * 2 ** 20, MAX_DEPTH = 200, MAX_VALUES = 10_000_000;
const TEXTS = ["definitions.json", "digests.json", "examples.json", "globals.json", "spec.json"];

class Refused extends Error {}
const refuse = (why) => { throw new Refused(why); };
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

// ---------------------------------------------------------------------------------------------------- text

/** Whole numbers become BigInt, other numbers Number, objects Map (which keeps the order of all keys). */
function parseJson(bytes, name) {
  const bad = (why) => refuse(`${name}: ${why} at character ${at}`);
  let at = 0, values = 0, text;
  try { text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); } catch { bad("not UTF-8"); }
  const space = () => { while (" \t\n\r".includes(text[at] ?? "x")) at++; };
  const number = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
  const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
  const match = (pattern) => { pattern.lastIndex = at; const found = pattern.exec(text); if (found) at += found[0].length; return found; };
  const textValue = () => {
    const found = match(string) ?? bad("no text");
    const value = JSON.parse(found[0]);
    return value.isWellFormed() ? value : bad("a lone surrogate");
  };
  const items = (close, item) => {
    at++; space();
    if (text[at] === close) { at++; return; }
    for (;;) {
      space(); item(); space();
      if (text[at] === close) { at++; return; }
      if (text[at] !== ",") bad(`neither , nor ${close}`);
      at++;
    }
  };
  const value = (depth) => {
    if (++values > MAX_VALUES) bad("too many values");
    if (depth > MAX_DEPTH) bad("nested too deep");
    const first = text[at];
    if (first === "{") {
      const made = new Map();
      items("}", () => {
        const key = textValue();
        if (made.has(key)) bad(`the key ${key} stands twice`);
        space(); if (text[at] !== ":") bad("no :"); at++; space();
        made.set(key, value(depth + 1));
      });
      return made;
    }
    if (first === "[") { const made = []; items("]", () => made.push(value(depth + 1))); return made; }
    if (first === '"') return textValue();
    for (const [word, meaning] of [["null", null], ["true", true], ["false", false]])
      if (text.startsWith(word, at)) { at += word.length; return meaning; }
    const found = match(number) ?? bad("no value");
    if (found[1] === undefined && found[2] === undefined) {
      const whole = found[0].length > 20 ? bad("a whole number beyond 64 bits") : BigInt(found[0]);
      return BigInt.asIntN(64, whole) === whole ? whole : bad("a whole number beyond 64 bits");
    }
    const real = Number(found[0]);
    return Number.isFinite(real) ? real : bad("a number beyond a double");
  };
  space(); const result = value(1); space();
  return at === text.length ? result : bad("more than one value");
}

// --------------------------------------------------------------------------------------------------- files

function readFiles(folder) {
  const allowed = new Set([...TEXTS, "SHA256SUMS", "weights.safetensors", "examples.safetensors", "source"]);
  const files = new Map();
  for (const name of readdirSync(folder)) {
    const status = lstatSync(join(folder, name));
    if (!allowed.has(name)) refuse(`${name} is no file of this format`);
    if (name === "source" ? !status.isDirectory() : !status.isFile() || status.nlink !== 1) refuse(`${name} is no plain file`);
    if (name.endsWith(".json") && status.size > MAX_TEXT) refuse(`${name} is too large`);
    if (name !== "source") files.set(name, readFileSync(join(folder, name)));
  }
  for (const name of ["SHA256SUMS", "spec.json", "digests.json", "weights.safetensors"])
    if (!files.has(name)) refuse(`${name} is missing`);
  const sums = new Map();
  for (const line of files.get("SHA256SUMS").toString("utf8").split("\n").slice(0, -1)) {
    const [, digest, name] = /^([0-9a-f]{64})  ([^ ]+)$/.exec(line) ?? refuse(`SHA256SUMS: ${line}`);
    sums.set(name, digest);
  }
  for (const name of TEXTS)
    if (files.has(name) !== sums.has(name)) refuse(`${name} and SHA256SUMS do not agree`);
    else if (files.has(name) && sha256(files.get(name)) !== sums.get(name)) refuse(`the digest of ${name} is wrong`);
  return files;
}

function members(value, names, what) {
  if (!(value instanceof Map) || [...value.keys()].join() !== names.join()) refuse(`${what} has other members than ${names}`);
  return names.map((name) => value.get(name));
}

// bytes of an element of each dtype of safetensors
const ENTRY_BYTES = { BOOL: 1, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, U16: 2, I16: 2, F16: 2, BF16: 2, U32: 4, I32: 4, F32: 4, U64: 8, I64: 8, F64: 8, C64: 8 };

/** name -> bytes of each entry, checked against its digest; Node has no BLAKE3, so a reader compares what it can. */
function readEntries(bytes, name, digests) {
  if (bytes.length < 8) refuse(`${name} is too short`);
  const length = bytes.readBigUInt64LE(0);
  if (length > BigInt(bytes.length - 8)) refuse(`${name}: the header is longer than the file`);
  const start = 8 + Number(length);
  const kind = digests.has("digest") ? ["digest"] : [];
  const [header, wanted] = members(digests, [...kind, "header", "entries"], `digests of ${name}`).slice(kind.length);
  if (kind.length && digests.get("digest") !== "blake3") refuse(`${name}: the digest ${digests.get("digest")}`);
  if (!kind.length && sha256(bytes.subarray(0, start)) !== header) refuse(`${name}: the digest of the header is wrong`);
  const entries = new Map();
  let end = 0;
  for (const [entry, fields] of parseJson(bytes.subarray(8, start), name)) {
    const [dtype, shape, [from, to]] = members(fields, ["dtype", "shape", "data_offsets"], `${name}: ${entry}`);
    const size = shape.reduce((a, b) => a * b, 1n) * BigInt(ENTRY_BYTES[dtype] ?? refuse(`${name}: dtype ${dtype}`));
    if (from !== BigInt(end) || to - from !== size || shape.some((n) => n < 0n)) refuse(`${name}: ${entry} does not fit`);
    end = Number(to);
    if (start + end > bytes.length) refuse(`${name}: ${entry} ends behind the file`);
    const held = bytes.subarray(start + Number(from), start + end);
    if (dtype === "BOOL" && held.some((byte) => byte > 1)) refuse(`${name}: ${entry} has a truth value that is neither 0 nor 1`);
    if (entry.startsWith("~fill.")) { if (held.some((byte) => byte)) refuse(`${name}: ${entry} is not zeros`); continue; }
    if (!wanted.has(entry) || (!kind.length && sha256(held) !== wanted.get(entry))) refuse(`${name}: the digest of ${entry} is wrong`);
    entries.set(entry, held);
  }
  if (start + end !== bytes.length) refuse(`${name}: bytes after the last entry`);
  if (entries.size !== wanted.size) refuse(`${name}: digests of entries that are not there`);
  return entries;
}

// --------------------------------------------------------------------------------------------------- forms

const COMMON = "parameter? requires_grad? class? grad? attributes?";
// tag -> its fields; `?`: may be absent
const FIELDS = Object.fromEntries(Object.entries({
  $blob: "entry", $namedtuple: "items", $enum: "member? members?", $npscalar: "bytes reads?", $partial: "args keywords attributes?",
  $method: "name", $codec: "state", $object: "content? attributes? entries_are_attributes? slots? call? caller?", $handle: "on? place?", $objectarray: "items",
  $module: "training parameters? buffers? modules? non_persistent? parametrized? hooks? full_backward? computed? attributes? call? caller?",
  $tensor: `shape stride? entry? offset? conj? neg? device? ${COMMON}`, $ndarray: "shape strides? entry? offset? read_only?",
  $sparse: `shape values indices? coalesced? crow_indices? col_indices? ccol_indices? row_indices? ${COMMON}`,
  $quantized: `values scale? zero_point? scales? zero_points? axis? ${COMMON}`,
}).map(([tag, fields]) => [tag, fields.split(" ")]));
const PLAIN = ("ref int float complex bytes bytearray tuple list set frozenset dict ordereddict counter defaultdict deque range slice decimal uuid " +
  "path pureposixpath purewindowspath date fraction datetime time timedelta timezone zoneinfo regex dtype layout memory_format qscheme device " +
  "finfo iinfo size ellipsis notimplemented npdtype class function").split(" ").map((word) => "$" + word);
for (const tag of PLAIN) FIELDS[tag] = [];

/** The tag of an object, null where it is a dict; its fields are checked. */
function tagOf(node) {
  const tags = [...node.keys()].filter((key) => key.startsWith("$"));
  if (tags.length === 0) return null;
  const [tag] = tags, fields = FIELDS[tag] ?? refuse(`unknown tag ${tag}`);
  if (tags.length > 1) refuse(`two tags: ${tags}`);
  for (const key of node.keys())
    if (key !== tag && !fields.includes(key) && !fields.includes(key + "?")) refuse(`unknown field ${key} of ${tag}`);
  for (const field of fields) if (!field.endsWith("?") && !node.has(field)) refuse(`${tag} lacks ${field}`);
  return tag;
}

// -------------------------------------------------------------------------------------------------- values

const TORCH_BYTES = { bool: 1, uint8: 1, int8: 1, uint16: 2, int16: 2, uint32: 4, int32: 4, uint64: 8, int64: 8, float16: 2, bfloat16: 2, float32: 4, float64: 8,
  complex32: 4, complex64: 8, complex128: 16, float8_e4m3fn: 1, float8_e4m3fnuz: 1, float8_e5m2: 1, float8_e5m2fnuz: 1, float8_e8m0fnu: 1, float4_e2m1fn_x2: 1,
  bits8: 1, bits1x8: 1, bits2x4: 1, bits4x2: 1, bits16: 2, bcomplex32: 4 };
for (const bits of [1, 2, 3, 4, 5, 6, 7]) TORCH_BYTES[`int${bits}`] = TORCH_BYTES[`uint${bits}`] = 1;

const contiguous = (shape) => shape.map((_, k) => shape.slice(k + 1).reduce((a, b) => a * Math.max(b, 1), 1));
const hexOf = (number) => { const bytes = Buffer.alloc(8); bytes.writeDoubleBE(number); return bytes.toString("hex"); };
const numbers = (list) => list.map(Number);
const microseconds = ([days, seconds, rest]) => ((days * 86400n + seconds) * 1000000n + rest).toString();
const FLAGS = ["with_kwargs", "always_call", "public"];
const TEXT_TAGS = new Set(("decimal uuid path pureposixpath purewindowspath date zoneinfo dtype layout memory_format qscheme device finfo iinfo " +
  "npdtype").split(" ").map((word) => "$" + word));
// name -> the members of its state, sorted
const CODECS = {
  "sentencepiece:SentencePieceProcessor": "model", "_io:BytesIO": "data position", "_io:StringIO": "state", "torch._C:Generator": "device state",
  "random:Random": "state", "numpy.random._generator:Generator": "bits seeds", "numpy.random.mtrand:RandomState": "state", "array:array": "data typecode",
  "types:SimpleNamespace": "attributes", "builtins:mappingproxy": "mapping", "operator:itemgetter": "items", "PIL.Image:Image": "data info mode palette size",
  "pandas:NullableDtype": "dtype", "pandas:Index": "name values", "pandas:CategoricalIndex": "name values", "pandas:DatetimeIndex": "freq name values",
  "pandas:RangeIndex": "name range", "pandas:MultiIndex": "codes levels names", "pandas:CategoricalDtype": "categories ordered",
  "pandas:IntervalIndex": "closed left name right", "pandas:IntegerArray": "values", "pandas:FloatingArray": "values", "pandas:BooleanArray": "values",
  "pandas:Timestamp": "utc zone", "pandas:Timedelta": "span", "pandas:NaTType": "", "pandas:NAType": "",
  "pandas:Series": "attrs index name values", "pandas:DataFrame": "attrs columns index values",
};
const COLUMNS = { numpy: "data kind", category: "codes dtype kind ordered", text: "data kind nan storage", masked: "data dtype gaps kind", zoned: "data kind zone" };

class Reader {
  constructor(objects, entries) {
    this.objects = objects; this.entries = entries;
    this.met = new Map(); // name in `objects` -> the path where it was first met
    this.places = [];       // of each tensor and array with memory: path, number of its entry, first byte
    this.numbers = new Map();
  }

  place(path, entry, offset) {
    if (!this.numbers.has(entry)) this.numbers.set(entry, this.numbers.size);
    this.places.push([path, this.numbers.get(entry), offset]);
  }

  /** The elements in their logical order, little-endian as they stand, as one run of bytes. */
  gather(entry, offset, shape, strides, size, path) {
    const count = shape.reduce((a, b) => a * b, 1);
    if (count === 0) return Buffer.alloc(0);
    const memory = this.entries.get(entry) ?? refuse(`${path}: no entry ${entry}`);
    const reach = (sign) => shape.reduce((sum, n, k) => sum + (Math.sign(strides[k]) === sign ? (n - 1) * strides[k] : 0), offset);
    if (reach(-1) < 0 || reach(1) + size > memory.length) refuse(`${path}: elements outside ${entry}`);
    const out = Buffer.alloc(count * size), index = shape.map(() => 0);
    for (let written = 0, at = offset; written < out.length; written += size) {
      memory.copy(out, written, at, at + size);
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        at += strides[axis];
        if (++index[axis] < shape[axis]) break;
        at -= strides[axis] * shape[axis]; index[axis] = 0;
      }
    }
    return out;
  }

  tensor(node, path) {
    const dtype = node.get("$tensor"), size = TORCH_BYTES[dtype] ?? refuse(`${path}: dtype ${dtype}`);
    const shape = numbers(node.get("shape")), stride = node.has("stride") ? numbers(node.get("stride")) : contiguous(shape);
    const told = { dtype, shape, stride, device: node.get("device") ?? "cpu" };
    if (told.device === "meta") return told;
    const offset = Number(node.get("offset") ?? 0n), entry = node.get("entry");
    const data = this.gather(entry, offset, shape, stride.map((n) => n * size), size, path);
    const part = dtype.includes("complex") ? size / 2 : size; // the sign is the highest bit of the last byte of a part
    for (let at = part - 1, k = 0; at < data.length; at += part, k++)
      if (node.has("neg") !== (node.has("conj") && k % 2 === 1)) data[at] ^= 0x80;
    if (entry !== undefined) this.place(path, entry, offset);
    return { ...told, sha256: sha256(data) };
  }

  common(node, path) {
    const parameter = node.get("parameter") ?? false;
    return {
      parameter, requires_grad: node.get("requires_grad") ?? parameter,
      ...(node.has("class") && { class: this.of(node.get("class"), `${path}.class`) }),
      ...(node.has("grad") && { grad: this.of(node.get("grad"), `${path}.grad`) }),
      ...(node.has("attributes") && { attributes: this.table(node.get("attributes"), path) }),
    };
  }

  table(map, path) { return [...(map ?? [])].map(([name, node]) => [name, this.of(node, `${path}.${name}`)]); }
  list(nodes, path) { return nodes.map((node, k) => this.of(node, `${path}[${k}]`)); }
  pairs(pairs, path) { return pairs.map(([key, node], k) => [this.of(key, `${path}.key[${k}]`), this.of(node, `${path}[${k}]`)]); }

  /** A node, as `described.py` describes what it stands for. */
  of(node, path) {
    if (node === null || typeof node === "boolean" || typeof node === "string") return node;
    if (typeof node === "bigint") return ["int", node.toString()];
    if (typeof node === "number") return ["float", hexOf(node)];
    if (Array.isArray(node)) return ["list", this.list(node, path)];
    const tag = tagOf(node), held = node.get(tag);
    const part = (name) => this.of(node.get(name), `${path}.${name}`);
    switch (tag) {
      case null: return ["dict", [...node].map(([key, value], k) => [key, this.of(value, `${path}[${k}]`)])];
      case "$ref": {
        if (!this.objects.has(held)) refuse(`${path}: no object ${held}`);
        if (this.met.has(held)) return ["same", this.met.get(held)];
        this.met.set(held, path);
        return this.of(this.objects.get(held), path);
      }
      case "$int": return ["int", (held[0] === "-" ? -BigInt(held.slice(1)) : BigInt(held)).toString()];
      case "$float": return ["float", hexOf({ nan: NaN, inf: Infinity, "-inf": -Infinity, "-0.0": -0 }[held] ?? refuse(`${path}: ${held}`))];
      case "$complex": return ["complex", this.list(held, path)];
      case "$bytes": case "$bytearray": return [tag.slice(1), Buffer.from(held, "base64").toString("hex")];
      case "$blob": {
        const data = this.entries.get(node.get("entry")) ?? refuse(`${path}: no entry`);
        return ["bytes", data.length === Number(held) ? data.toString("hex") : refuse(`${path}: another length`)];
      }
      case "$list": case "$tuple": return [tag.slice(1), this.list(held, path)];
      case "$set": case "$frozenset": return [tag.slice(1), this.list(held, path).map((value) => JSON.stringify(value)).sort()];
      case "$dict": case "$ordereddict": case "$counter": return [tag.slice(1), this.pairs(held, path)];
      case "$defaultdict": return ["defaultdict", this.of(held[0], `${path}.factory`), this.pairs(held[1], path)];
      case "$deque": return ["deque", this.of(held[0], path), this.list(held[1], path)];
      case "$namedtuple": return ["namedtuple", held, this.list(node.get("items"), path)];
      case "$partial":
        return ["partial", this.of(held, `${path}.func`), this.list(node.get("args"), path), this.table(node.get("keywords"), path), this.table(node.get("attributes"), path)];
      case "$codec": return this.codec(held, node.get("state"), path);
      case "$class": case "$function": return [tag.slice(1), held];
      case "$enum": return ["enum", held, node.get("member") ?? node.get("members") ?? refuse(`${path}: no member`)];
      case "$range": case "$slice": case "$fraction": return [tag.slice(1), this.list(held, path)];
      case "$datetime": case "$time": {
        const [microsecond, fold, zone] = held.slice(-3), pad = (n, width = 2) => String(n).padStart(width, "0");
        const day = tag === "$datetime" ? `${pad(held[0], 4)}-${pad(held[1])}-${pad(held[2])}T` : "";
        const [hour, minute, second] = held.slice(-6, -3);
        return [tag.slice(1), `${day}${pad(hour)}:${pad(minute)}:${pad(second)}.${pad(microsecond, 6)}`, Number(fold), this.of(zone, `${path}.zone`)];
      }
      case "$timedelta": return ["timedelta", microseconds(held)];
      case "$timezone": return ["timezone", microseconds(held[0]), held[1]];
      case "$regex": return ["regex", this.of(held[0], path), Number(held[1])];
      case "$ellipsis": case "$notimplemented": return [tag.slice(1)];
      case "$handle":
        if (node.has("on") !== (held !== null) || node.has("place") !== (held !== null)) refuse(`${path}: a handle of a hook that is not there`);
        return ["handle", this.of(held, `${path}.module`), node.get("on") ?? null, node.has("place") ? Number(node.get("place")) : null];
      case "$method": return ["method", this.of(held, `${path}.self`), node.get("name")];
      case "$size": return ["size", numbers(held)];
      case "$tensor": return ["tensor", { ...this.tensor(node, path), ...this.common(node, path) }];
      case "$sparse": {
        const names = [...node.keys()].filter((name) => name === "values" || name.endsWith("indices"));
        const parts = names.sort().map((name) => [name, part(name)]);
        return ["sparse", held, numbers(node.get("shape")), node.get("coalesced") ?? false, parts, this.common(node, path)];
      }
      case "$quantized": {
        const names = ["values", "scale", "zero_point", "scales", "zero_points", "axis"].filter((name) => node.has(name));
        return ["quantized", held, names.map((name) => [name, part(name)]), this.common(node, path)];
      }
      case "$ndarray": {
        const { data, shape, strides } = this.array(node, path);
        if (node.has("entry")) this.place(path, node.get("entry"), Number(node.get("offset") ?? 0n));
        return ["ndarray", held, shape, data.length ? strides : null, sha256(data), node.get("read_only") ?? false];
      }
      case "$objectarray": return ["objectarray", numbers(held), this.list(node.get("items"), path)];
      case "$npscalar": return ["npscalar", held, Buffer.from(node.get("bytes"), "base64").toString("hex")];
      case "$object":
        return ["object", held, node.has("content") ? part("content") : null,
          node.get("entries_are_attributes") ? "its entries" : this.table(node.get("attributes"), path), this.table(node.get("slots"), path), this.call(node, held, path)];
      case "$module": return ["module", held, {
        training: node.get("training"), parameters: this.table(node.get("parameters"), path),
        buffers: this.table(node.get("buffers"), path), non_persistent: node.get("non_persistent") ?? [],
        modules: this.table(node.get("modules"), path), attributes: this.table(node.get("attributes"), path),
        hooks: (node.get("hooks") ?? []).map((hook, k) => [hook.get("on"), this.hook(hook, `${path}.hooks[${k}]`), FLAGS.filter((flag) => hook.get(flag))]),
        parametrized: node.get("parametrized") ?? [], computed: node.get("computed") ?? [], full_backward: node.get("full_backward") ?? null,
        call: this.call(node, held, path),
      }];
      default: return TEXT_TAGS.has(tag) ? [tag.slice(1), held] : refuse(`${path}: no way to read ${tag}`);
    }
  }

  /** The noted call that made an object: what was called, and its arguments. */
  call(node, name, path) { return node.has("call") ? [node.get("caller") ?? name, this.table(node.get("call"), `${path}()`)] : null; }

  hook(hook, path) {
    if (!FLAGS.concat("on", "call", "weight_norm", "with_module").includes([...hook.keys()].at(-1))) refuse(`${path}: unknown field of a hook`);
    const called = hook.has("call") ? this.of(hook.get("call"), path) : ["weight_norm", hook.get("weight_norm")];
    return hook.has("with_module") ? ["wrapped", hook.get("with_module"), called] : called;
  }

  array(node, path) {
    const held = node.get("$ndarray"), shape = numbers(node.get("shape"));
    const bytes = (text) => Number(/[0-9]+/.exec(text)[0]) * (text[1] === "U" ? 4 : 1);
    const size = Array.isArray(held) ? held.reduce((sum, [, text]) => sum + bytes(text), 0) : bytes(held);
    const strides = node.has("strides") ? numbers(node.get("strides")) : contiguous(shape).map((n) => n * size);
    return { data: this.gather(node.get("entry"), Number(node.get("offset") ?? 0n), shape, strides, size, path), shape, strides, size };
  }

  // ------------------------------------------------------------------------------------------------ codecs

  codec(name, state, path) {
    const form = CODECS[name] ?? refuse(`${path}: no codec ${name}`);
    if ([...state.keys()].sort().join(" ") !== form) refuse(`${path}: the state of ${name} is not ${form}`);
    const part = (key) => this.of(state.get(key), `${path}.${key}`);
    switch (name) {
      case "pandas:Index": case "pandas:CategoricalIndex": return [name, this.column(state.get("values"), path), part("name")];
      case "pandas:DatetimeIndex": return [name, this.column(state.get("values"), path), part("name"), part("freq")];
      case "pandas:MultiIndex": {
        const levels = state.get("levels").map((level) => this.column(level.get("state").get("values"), path).at(-1));
        const codes = state.get("codes").map((node) => this.elements(node, path).map(([, code]) => Number(code)));
        return [name, (codes[0] ?? []).map((_, row) => codes.map((of, k) => of[row] < 0 ? null : levels[k][of[row]])), part("names")];
      }
      case "pandas:IntegerArray": case "pandas:FloatingArray": case "pandas:BooleanArray":
        return [name, this.column(state.get("values"), path)];
      case "pandas:Series": return [name, part("index"), this.column(state.get("values"), path), part("name"), part("attrs")];
      case "pandas:DataFrame":
        return [name, part("index"), part("columns"), state.get("values").map((column) => this.column(column, path)), part("attrs")];
      default: return ["codec", name, this.table(state, path).sort(([a], [b]) => (a < b ? -1 : 1))];
    }
  }

  /** A column of pandas: [kind, what else it has, its values one by one]. */
  column(column, path) {
    const of = (key) => this.elements(column.get(key), path);
    const kind = column.get("kind");
    if ([...column.keys()].sort().join(" ") !== COLUMNS[kind]) refuse(`${path}: a column of kind ${kind} is not ${COLUMNS[kind]}`);
    switch (kind) {
      case "numpy": return [kind, column.get("data").get("$ndarray") ?? "object", of("data")];
      case "text": return [kind, [column.get("storage"), column.get("nan")], column.get("data")];
      case "zoned": return [kind, this.of(column.get("zone"), path), of("data")];
      case "masked": {
        const gaps = of("gaps");
        return [kind, column.get("dtype"), of("data").map((value, k) => (gaps[k] ? null : value))];
      }
      case "category": {
        const categories = this.column(column.get("dtype").get("state").get("values"), path);
        return [kind, [column.get("ordered"), categories], of("codes").map(([, code]) => (code < 0 ? null : categories.at(-1)[Number(code)]))];
      }
    }
  }

  /** The elements of an array of one dimension. */
  elements(node, path) {
    if (node.has("$objectarray")) return this.list(node.get("items"), path);
    const held = node.get("$ndarray"), { data, size } = this.array(node, path), found = [];
    const order = (at) => held[0] === ">" ? Buffer.from(data.subarray(at, at + size)).reverse() : data.subarray(at, at + size);
    for (let at = 0; at < data.length; at += size) {
      const view = order(at);
      if (held[1] === "b") found.push(view[0] === 1);
      else if (held[1] === "f") found.push(["float", hexOf(size === 8 ? view.readDoubleLE() : size === 4 ? view.readFloatLE() : refuse(`${path}: ${held}`))]);
      else if ("iuMm".includes(held[1])) {
        const whole = view.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
        found.push(["int", (held[1] === "u" ? whole : BigInt.asIntN(8 * size, whole)).toString()]);
      } else refuse(`${path}: a column of ${held}`);
    }
    return found;
  }
}

function read(folder) {
  const files = readFiles(folder);
  const [format, version, root, objects] = members(parseJson(files.get("spec.json"), "spec.json"), ["format", "version", "root", "objects"], "spec.json");
  if (format !== "json-spec" || version !== 1n) refuse(`spec.json is ${format}, version ${version}`);
  const [kind, number, tensors] = members(parseJson(files.get("digests.json"), "digests.json"), ["format", "version", "tensors"], "digests.json");
  if (kind !== "json-spec-digests" || number !== 1n) refuse(`digests.json is ${kind}, version ${number}`);
  const reader = new Reader(objects, readEntries(files.get("weights.safetensors"), "weights.safetensors", tensors.get("weights.safetensors")));
  const model = reader.of(root, "model");
  return { model, memory: reader.places };
}

try {
  process.stdout.write(JSON.stringify(read(process.argv[2])) + "\n");
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  process.stderr.write(`refused: ${error.message}\n`);
  process.exit(1);
}

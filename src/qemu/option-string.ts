/**
 * The value of a QEMU option: `type,key=value,flag,…` with `,,` for a comma, or a JSON object.
 *
 * Must hold: what is not changed is printed as it was read, in the same order; of a key given twice the last counts, as
 * in QEMU. Dotted keys (`file.filename`) reach into JSON objects as well.
 * https://www.qemu.org/docs/master/interop/ (keyval and QemuOpts syntax, util/qemu-option.c)
 */
import type { JsonValue } from '../base/errors.ts';

interface Pair {
  readonly key: string;
  /** undefined for a flag. */
  readonly value: string | undefined;
  /** The key is implied: only the value is written. */
  readonly bare?: boolean;
}

type JsonObject = { [key: string]: JsonValue };

export class OptionString {
  #pairs: Pair[];
  readonly #json: JsonObject | undefined;

  private constructor(pairs: Pair[], json: JsonObject | undefined) {
    this.#pairs = pairs;
    this.#json = json;
  }

  /**
   * @param impliedKey - the key that a first word without `=` is the value of, such as `driver` for -device
   */
  static parse(text: string, impliedKey?: string): OptionString {
    const json = parseObject(text);
    if (json !== undefined) return new OptionString([], json);
    const pairs = splitAtCommas(text).map((word, index): Pair => {
      const equals = word.indexOf('=');
      if (equals !== -1) return { key: word.slice(0, equals), value: word.slice(equals + 1) };
      if (index === 0 && impliedKey !== undefined) return { key: impliedKey, value: word, bare: true };
      return { key: word, value: undefined };
    });
    return new OptionString(pairs, undefined);
  }

  get(key: string): string | undefined {
    if (this.#json !== undefined) {
      const value = reach(this.#json, key.split('.'));
      return value === undefined || typeof value === 'object' ? undefined : String(value);
    }
    const pair = this.#pairs.findLast((candidate) => candidate.key === key);
    return pair === undefined ? undefined : (pair.value ?? 'on');
  }

  /** QEMU's words for true; also the old form `nokey` for false. */
  isOn(key: string, fallback = false): boolean {
    const value = this.get(key);
    if (value === undefined) return this.get(`no${key}`) === 'on' ? false : fallback;
    return ['on', 'yes', 'true', 'y'].includes(value);
  }

  keys(): string[] {
    return this.#json === undefined ? this.#pairs.map((pair) => pair.key) : Object.keys(this.#json);
  }

  /** Changes the value in its place, or adds it at the end. */
  set(key: string, value: string | boolean): void {
    if (this.#json !== undefined) {
      assign(this.#json, key.split('.'), value);
      return;
    }
    const text = typeof value === 'string' ? value : value ? 'on' : 'off';
    const index = this.#pairs.findLastIndex((pair) => pair.key === key);
    if (index === -1) this.#pairs.push({ key, value: text });
    else this.#pairs = this.#pairs.map((pair) => (pair.key === key ? { ...pair, value: text } : pair));
  }

  delete(...keys: readonly string[]): void {
    if (this.#json !== undefined) for (const key of keys) delete this.#json[key];
    this.#pairs = this.#pairs.filter((pair) => !keys.includes(pair.key));
  }

  toString(): string {
    if (this.#json !== undefined) return JSON.stringify(this.#json);
    return this.#pairs
      .map(({ key, value, bare }) => {
        if (value === undefined) return escapeComma(key);
        return bare ? escapeComma(value) : `${key}=${escapeComma(value)}`;
      })
      .join(',');
  }
}

/** undefined when the text is no JSON object. */
export function parseObject(text: string): JsonObject | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as JsonObject;
  } catch {
    return undefined;
  }
}

export function escapeComma(value: string): string {
  return value.replaceAll(',', ',,');
}

function splitAtCommas(text: string): string[] {
  const words: string[] = [];
  let word = '';
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== ',') {
      word += text[at];
    } else if (text[at + 1] === ',') {
      word += ',';
      at++;
    } else {
      words.push(word);
      word = '';
    }
  }
  return [...words, word];
}

function reach(json: JsonObject, path: readonly string[]): JsonValue | undefined {
  let at: JsonValue | undefined = json;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) return undefined;
    at = (at as JsonObject)[step];
  }
  return at;
}

function assign(json: JsonObject, path: readonly string[], value: JsonValue): void {
  const parent = path.length === 1 ? json : reach(json, path.slice(0, -1));
  const last = path.at(-1);
  if (last === undefined || typeof parent !== 'object' || parent === null) return;
  (parent as JsonObject)[last] = value;
}

/**
 * Parts of docs/ that are made from the code: what stands between `<!-- generated: NAME -->` and
 * `<!-- end -->`. With GODWIT_UPDATE_DOCS=1 the tests write them anew.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';

export interface GeneratedPart {
  readonly documented: string;
  readonly generated: string;
}

/** Both texts of one part, for comparison. */
export function comparePart(file: string, name: string, generated: string): GeneratedPart {
  const path = new URL(`../../docs/${file}`, import.meta.url);
  const contents = readFileSync(path, 'utf8');
  const begin = `<!-- generated: ${name} -->\n`;
  const from = contents.indexOf(begin);
  const to = contents.indexOf('<!-- end -->', from);
  if (from === -1 || to === -1) return { documented: `no part named ${name} in docs/${file}`, generated };
  if (process.env['GODWIT_UPDATE_DOCS'] === '1') {
    writeFileSync(path, `${contents.slice(0, from)}${begin}${generated}\n${contents.slice(to)}`);
    return { documented: generated, generated };
  }
  return { documented: contents.slice(from + begin.length, to).trimEnd(), generated };
}

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
}

/** A markdown table of a schema's fields, those of objects in it with their path. */
export function fieldTable(schema: z.ZodType, io: 'input' | 'output' = 'input'): string {
  const root = z.toJSONSchema(schema, { io, unrepresentable: 'any', reused: 'inline' }) as JsonSchema;
  const definitions = root.$defs ?? {};
  return ['| field | value | meaning |', '|---|---|---|', ...rows(resolve(root, definitions), '')].join('\n');
}

/** The schema with every reference to a named one replaced by that one. */
function resolve(schema: JsonSchema, definitions: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const text = JSON.stringify(schema, (_key, value: unknown) => {
    const name = /^#\/\$defs\/(.+)$/.exec(String((value as JsonSchema | null)?.$ref))?.[1];
    return name === undefined ? value : definitions[name];
  });
  return JSON.parse(text) as JsonSchema;
}

function rows(schema: JsonSchema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const needed =
      schema.required?.includes(name) === true
        ? ''
        : field.default === undefined
          ? 'optional'
          : `default \`${JSON.stringify(field.default)}\``;
    const value = [typeOf(field), needed].filter((part) => part !== '').join(', ');
    const own = `| \`${prefix}${name}\` | ${value} | ${(field.description ?? '').replaceAll('|', '\\|')} |`;
    const inner = objectIn(field);
    return inner === undefined ? [own] : [own, ...rows(inner.schema, `${prefix}${name}${inner.suffix}.`)];
  });
}

function objectIn(field: JsonSchema): { schema: JsonSchema; suffix: string } | undefined {
  if (field.properties !== undefined) return { schema: field, suffix: '' };
  if (field.items !== undefined) {
    const inner = objectIn(field.items);
    return inner && { schema: inner.schema, suffix: `[]${inner.suffix}` };
  }
  return field.anyOf?.map(objectIn).find((inner) => inner !== undefined);
}

function typeOf(field: JsonSchema): string {
  if (field.enum !== undefined) return field.enum.map((value) => `\`${value}\``).join(' ');
  if (field.anyOf !== undefined) return [...new Set(field.anyOf.map(typeOf))].join(' or ');
  if (field.type === 'array') return `list of ${field.items === undefined ? 'values' : typeOf(field.items)}`;
  const { minimum, maximum } = field;
  const type = typeof field.type === 'string' ? field.type : (field.type ?? ['any']).join(' or ');
  const bounded = minimum !== undefined && maximum !== undefined && Math.abs(maximum) < 2 ** 53 - 1;
  return `${type}${bounded ? ` ${minimum}–${maximum}` : ''}`;
}

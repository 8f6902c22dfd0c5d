/**
 * The OpenAPI document's components, put in order.
 *
 * The schema compiler makes two components of every named schema, one for requests (`NameInput`) and one for answers
 * (`Name`). Must hold: what nothing refers to is left out, and a schema that is only ever a request is plainly `Name`.
 */
interface Document {
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> };
}

export function tidyComponents<T extends object>(document: T): T {
  const { components, ...rest } = document as T & Document;
  const schemas = components?.schemas ?? {};
  const used = new Set<string>();
  const waiting: unknown[] = [rest];
  while (waiting.length > 0) {
    for (const name of referencesIn(waiting.pop())) {
      if (used.has(name)) continue;
      used.add(name);
      waiting.push(schemas[name]);
    }
  }
  const kept = Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)));
  let text = JSON.stringify({ ...rest, components: { ...components, schemas: kept } });
  for (const name of used) {
    const plain = name.replace(/Input$/, '');
    if (plain === name || used.has(plain)) continue;
    text = text.replaceAll(`#/components/schemas/${name}"`, `#/components/schemas/${plain}"`);
    text = text.replaceAll(`"${name}":`, `"${plain}":`);
  }
  return JSON.parse(text) as T;
}

function referencesIn(value: unknown): string[] {
  return [...(JSON.stringify(value) ?? '').matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]!);
}

import { expect, test } from 'vitest';
import { offerContents } from './destination-contents.ts';
import { NO_CONTENTS } from './held-contents.ts';
import { EARLY_PAGES_FEATURE } from './opening.ts';

async function saidBy(mayBegin: () => boolean, features: readonly string[]): Promise<string[]> {
  const said: string[] = [];
  const port = {
    facts: { offer: { vm: { uuid: null, facts: {} } } },
    arrivals: { hold: () => undefined },
    life: new AbortController(),
    link: { send: ({ kind }: { readonly kind: string }) => void said.push(kind), sendFrames: () => undefined },
    note: () => undefined,
  };
  await offerContents(port, { policy: NO_CONTENTS, features }, mayBegin);
  return said;
}

test('the source may begin when it has heard what is held, unless it has heard `ready` meanwhile', async () => {
  const features = [EARLY_PAGES_FEATURE];
  expect(await saidBy(() => true, features)).toEqual(['begin']);
  expect(await saidBy(() => true, [])).toEqual([]);
  let mayBegin = true;
  const said = saidBy(() => mayBegin, features);
  mayBegin = false;
  expect(await said).toEqual([]);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkCoherence, type RegionMemory, ringEntry, type SharingMember } from './coherence.ts';
import {
  mix,
  OWN_LAST_WORD,
  OWN_MARK_WORD,
  ownPage,
  REGION_PAGE_BYTES,
  type RegionLayout,
  regionLayout,
  ringCapacity,
  ringPage,
  ringSalt,
  usedPages,
  writerFor,
} from './region-layout.ts';

const REGION_BYTES = 2 ** 20;
const LAYOUT = regionLayout({ memberCount: 3, counterPages: 5, ringPages: 1, ownPages: 2 }, REGION_BYTES);

type Change<T> = { -readonly [K in keyof T]: T[K] };

/** The workload as its description has it, one member after the other. */
class Model {
  readonly words: Uint32Array;
  readonly members: Change<SharingMember>[];
  readonly layout: RegionLayout;

  constructor(layout: RegionLayout = LAYOUT) {
    this.layout = layout;
    this.words = new Uint32Array((usedPages(layout) * REGION_PAGE_BYTES) / 4);
    this.members = Array.from({ length: layout.memberCount }, (_, member) => ({
      member,
      memberCount: layout.memberCount,
      counts: new Uint32Array(layout.counterPages),
      pendingCounter: undefined,
      produced: 0,
      consumed: 0,
      ownWrites: 0,
      errors: 0,
      firstError: undefined,
    }));
  }

  get region(): RegionMemory {
    const bytes = new Uint8Array(this.words.buffer);
    return { read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)) };
  }

  get problems(): readonly string[] {
    return checkCoherence(this.members, this.region, this.layout).problems;
  }

  at(page: number, offset = 0): number {
    return (page * REGION_PAGE_BYTES + offset) / 4;
  }

  increment(member: number, page: number): void {
    this.words[this.at(page)]!++;
    this.members[member]!.counts[page]!++;
  }

  write(member: number): void {
    const own = this.members[member]!;
    const page = ringPage(this.layout, member);
    const entries = ringCapacity(this.layout);
    if (this.words[this.at(page)]! - this.words[this.at(page + 1)]! === entries) return;
    this.words.set(ringEntry(member, own.produced), this.at(page + 2, (own.produced % entries) * 16));
    own.produced = ++this.words[this.at(page)]!;
  }

  read(member: number): void {
    const page = ringPage(this.layout, writerFor(this.layout, member));
    if (this.words[this.at(page)] === this.words[this.at(page + 1)]) return;
    this.members[member]!.consumed = ++this.words[this.at(page + 1)]!;
  }

  rewrite(member: number): void {
    const own = this.members[member]!;
    const { ownPages } = this.layout;
    const page = ownPage(this.layout, member) + (own.ownWrites % ownPages);
    const writes = Math.floor(own.ownWrites / ownPages) + 1;
    this.words[this.at(page)] = writes;
    this.words[this.at(page, OWN_MARK_WORD)] = page + 1;
    this.words[this.at(page, OWN_LAST_WORD)] = writes;
    own.ownWrites++;
  }

  run(steps: number): this {
    for (let step = 0; step < steps; step++) {
      for (const { member } of this.members) {
        this.increment(member, (step + member) % this.layout.counterPages);
        this.write(member);
        if (step > 10) this.read(member);
        this.rewrite(member);
      }
    }
    return this;
  }
}

test('mix is xorshift32, and no ring has the salt of another', () => {
  expect([0, 1, 2, 0xffffffff].map(mix)).toEqual([0, 270369, 540738, 253983]);
  expect(new Set(Array.from({ length: 16 }, (_, writer) => ringSalt(writer))).size).toBe(16);
});

test.each([
  { memberCount: 0 },
  { memberCount: 17 },
  { memberCount: 1.5 },
  { memberCount: 2, counterPages: 0 },
  { memberCount: 2, counterPages: 2 ** 15 + 1 },
  { memberCount: 2, ringPages: 3 },
  { memberCount: 2, ringPages: 0 },
  { memberCount: 2, ownPages: 12 },
  { memberCount: 2, ownPages: -1 },
  { memberCount: 2, counterPages: 300 },
])('the layout %o is refused', (options) => {
  expect(() => regionLayout(options, REGION_BYTES)).toThrow(RangeError);
});

test('every page of a layout has one use', () => {
  const { memberCount, counterPages, ringPages, ownPages } = LAYOUT;
  const members = Array.from({ length: memberCount }, (_, member) => member);
  const firsts = members.flatMap((member) => [ringPage(LAYOUT, member), ownPage(LAYOUT, member)]);
  expect(firsts.sort((a, b) => a - b)).toEqual([5, 8, 11, 14, 16, 18]);
  expect(usedPages(LAYOUT)).toBe(counterPages + memberCount * (2 + ringPages + ownPages));
  expect(members.map((reader) => writerFor(LAYOUT, reader))).toEqual([2, 0, 1]);
});

test.each([0, 1, 2, 3, 100, 255, 256, 257, 1000])('a region is coherent after %i steps', (steps) => {
  const model = new Model().run(steps);
  expect(model.problems).toEqual([]);
  expect(checkCoherence(model.members.toReversed(), model.region, LAYOUT).increments).toBe(3 * steps);
});

test('a ring that is full is coherent, and every entry in it counts', () => {
  const model = new Model();
  for (let entry = 0; entry < 300; entry++) model.write(1);
  expect(model.members[1]!.produced).toBe(256);
  expect(model.problems).toEqual([]);
  model.words[model.at(ringPage(LAYOUT, 1) + 2)] = 7;
  expect(model.problems).toEqual([expect.stringContaining('Ring 1 has the entry 7,')]);
});

/** A write that was made and not noted, of each kind. */
test.each<[string, (model: Model) => void]>([
  [
    'a counter',
    (model) => {
      model.members[2]!.pendingCounter = 3;
      model.words[model.at(3)]!++;
    },
  ],
  ['an entry', (model) => model.words[model.at(ringPage(LAYOUT, 0))]!++],
  ['an entry that was read', (model) => model.words[model.at(ringPage(LAYOUT, 0) + 1)]!++],
  ['the first word of an own page', (model) => model.words[model.at(ownPage(LAYOUT, 1))]!++],
])('%s that was written and is not noted yet is forgiven once', (_, write) => {
  const model = new Model().run(100);
  const entry = ringEntry(0, model.members[0]!.produced);
  model.words.set(entry, model.at(ringPage(LAYOUT, 0) + 2, (entry[0] % ringCapacity(LAYOUT)) * 16));
  write(model);
  expect(model.problems).toEqual([]);
  write(model);
  expect(model.problems).not.toEqual([]);
});

test('any number that means something and is another one is found', () => {
  const model = new Model().run(1000);
  const meaning = meaningfulWords(model);
  fc.assert(
    fc.property(fc.constantFrom(...meaning), fc.integer({ min: 2, max: 0xfffffffe }), (at, change) => {
      const original = model.words[at]!;
      model.words[at] = original + change;
      const { problems } = model;
      model.words[at] = original;
      expect(problems.length).toBeGreaterThan(0);
    }),
    { numRuns: 500 },
  );
});

/** All but the place of the next entry of each ring. */
function meaningfulWords({ layout, members, at }: Model): number[] {
  const rings = members.flatMap(({ member, produced }) => {
    const page = ringPage(layout, member);
    const entries = Array.from({ length: ringCapacity(layout) }, (_, entry) => entry);
    const others = entries.filter((entry) => entry !== produced % ringCapacity(layout));
    return [
      at(page),
      at(page + 1),
      ...others.flatMap((entry) => [0, 4, 8, 12].map((b) => at(page + 2, entry * 16 + b))),
    ];
  });
  const own = members.flatMap(({ member }) =>
    [0, OWN_MARK_WORD, OWN_LAST_WORD].flatMap((offset) => [0, 1].map((n) => at(ownPage(layout, member) + n, offset))),
  );
  return [...Array.from({ length: layout.counterPages }, (_, page) => at(page)), ...rings, ...own];
}

test('what a member has seen itself is told', () => {
  const model = new Model().run(10);
  model.members[1]!.errors = 2;
  model.members[1]!.firstError = { kind: 'the counter went back', page: 4, found: 1, expected: 9 };
  expect(model.problems).toEqual([
    'Member 1 has seen 2 errors, the first at page 4: the counter went back (1 instead of 9)',
  ]);
});

test('numbers that have wrapped are coherent', () => {
  const model = new Model();
  const high = 0xfffffff0;
  model.words[model.at(0)] = high;
  model.members[0]!.counts[0] = high;
  model.words[model.at(ringPage(LAYOUT, 0))] = high;
  model.words[model.at(ringPage(LAYOUT, 0) + 1)] = high;
  model.members[0]!.produced = high;
  model.members[1]!.consumed = high;
  for (let back = 1; back <= 256; back++) {
    const sequence = high - back;
    model.words.set(ringEntry(0, sequence), model.at(ringPage(LAYOUT, 0) + 2, (sequence % 256) * 16));
  }
  expect(model.problems).toEqual([]);
  model.run(400);
  expect(model.words[model.at(0)]).toBeLessThan(1000);
  expect(model.problems).toEqual([]);
});

test('members that are missing, or of another region, are an error of the caller', () => {
  const { members, region } = new Model();
  expect(() => checkCoherence(members.slice(1), region, LAYOUT)).toThrow('these are 1 of 3, 2 of 3');
  const strange = { ...members[0]!, memberCount: 2 };
  expect(() => checkCoherence([strange, ...members.slice(1)], region, LAYOUT)).toThrow('these are 0 of 2');
});

import { expect, test } from 'vitest';
import { MAX_UNDECIDED, MAX_UNDECIDED_OF_ADDRESS, UndecidedPlaces } from './undecided-places.ts';

interface Comer {
  hasOffered: boolean;
  isDropped: boolean;
  drop(): void;
}

/** undefined: there was no room. */
function come(places: UndecidedPlaces, address: string, hasOffered = false): Comer | undefined {
  const comer: Comer = {
    hasOffered,
    isDropped: false,
    drop: () => {
      comer.isDropped = true;
    },
  };
  if (!places.makeRoom(address)) return undefined;
  places.take(comer, address);
  return comer;
}

const times = <T>(count: number, what: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => what(i));
const dropped = (comers: readonly (Comer | undefined)[]): number[] =>
  comers.flatMap((comer, index) => (comer?.isDropped ? [index] : []));

test('the oldest who is silent goes for who comes, and not who comes', () => {
  const places = new UndecidedPlaces();
  const strangers = times(MAX_UNDECIDED, (i) => come(places, `10.0.0.${i}`));
  expect(dropped(strangers)).toEqual([]);
  expect(come(places, '10.1.0.1')).toMatchObject({ isDropped: false });
  expect(dropped(strangers)).toEqual([0]);
});

test('one address has only some of the places, and loses its own', () => {
  const places = new UndecidedPlaces();
  const host = come(places, '10.1.0.1');
  const strangers = times(MAX_UNDECIDED_OF_ADDRESS + 2, () => come(places, '10.0.0.1'));
  expect(dropped(strangers)).toEqual([0, 1]);
  expect(host).toMatchObject({ isDropped: false });
});

test('who has made an offer keeps its place', () => {
  const places = new UndecidedPlaces();
  const offers = times(MAX_UNDECIDED_OF_ADDRESS - 1, () => come(places, '10.0.0.1', true));
  const silent = come(places, '10.0.0.1');
  const offer = come(places, '10.0.0.1', true);
  expect(silent).toMatchObject({ isDropped: true });
  expect(come(places, '10.0.0.1')).toBeUndefined();
  expect(dropped([...offers, offer])).toEqual([]);
});

test('who leaves makes room', () => {
  const places = new UndecidedPlaces();
  const peers = times(MAX_UNDECIDED_OF_ADDRESS, () => come(places, '10.0.0.1'));
  places.leave(peers[5]!);
  come(places, '10.0.0.1');
  expect(dropped(peers)).toEqual([]);
});

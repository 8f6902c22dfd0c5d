import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../base/page.ts';
import { PageCopies } from './page-copies.ts';

test('a copy stays as it is until it is forgotten', () => {
  const copies = new PageCopies(2);
  copies.make(7, (copy) => copy.fill(1));
  copies.make(9, (copy) => copy.fill(2));
  copies.forget(7);
  copies.make(8, (copy) => copy.fill(3));
  expect(copies.read(9)).toEqual(new Uint8Array(PAGE_SIZE).fill(2));
  expect(copies.read(8)).toEqual(new Uint8Array(PAGE_SIZE).fill(3));
  expect(copies.count).toBe(2);
});

test('zeros take no room', () => {
  const copies = new PageCopies(1);
  copies.make(1, (copy) => copy.fill(5));
  copies.forget(1);
  for (let page = 0; page < 10; page++) copies.make(page, (copy) => copy.fill(0));
  copies.make(10, (copy) => copy.fill(4));
  expect(copies.read(3)).toBeNull();
  expect(copies.read(10)?.[0]).toBe(4);
});

test('there is no more room than was said, and nobody reads what is not there', () => {
  const copies = new PageCopies(1);
  copies.make(1, (copy) => copy.fill(1));
  expect(() => copies.make(2, (copy) => copy.fill(1))).toThrow(/no room/);
  expect(() => copies.read(2)).toThrow(/no copy/);
  copies.forget(1);
  expect(() => copies.read(1)).toThrow(/no copy/);
});

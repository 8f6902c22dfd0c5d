import { expect, test } from 'vitest';
import { cellAfter } from './matrix-moves.ts';

test.each([
  ['ArrowUp', [0, 1]],
  ['ArrowDown', [2, 1]],
  ['ArrowLeft', [1, 0]],
  ['ArrowRight', [1, 2]],
  ['Home', [1, 0]],
  ['End', [1, 2]],
])('%s leads to the next cell', (key, [row, column]) => {
  expect(cellAfter({ row: 1, column: 1 }, key, 3)).toEqual({ row, column });
});

test.each([
  ['ArrowUp', 0, 0],
  ['ArrowLeft', 0, 0],
  ['ArrowDown', 2, 2],
  ['ArrowRight', 2, 2],
  ['End', 2, 2],
  ['Tab', 1, 1],
])('%s leads nowhere from row %i, column %i', (key, row, column) => {
  expect(cellAfter({ row, column }, key, 3)).toBeNull();
});

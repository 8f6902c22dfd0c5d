import { expect, test } from 'vitest';
import { DSCP_FIX, parseDscp } from './dscp.ts';

test.each([
  ['0', 0],
  ['63', 63],
  ['df', 0],
  ['le', 1],
  ['CS1', 8],
  ['cs7', 56],
  ['af11', 10],
  ['af43', 38],
  ['va', 44],
  ['ef', 46],
])('%s is %d', (text, mark) => {
  expect(parseDscp(text, 'dscp')).toBe(mark);
});

test.each(['', '64', '-1', '1.5', '0x8', 'af14', 'cs8', 'constructor'])('%j is refused with the field', (text) => {
  const refusal = { code: 'GW_INPUT_INVALID', details: { field: 'dscp', value: text, fix: DSCP_FIX } };
  expect(() => parseDscp(text, 'dscp')).toThrow(expect.objectContaining(refusal));
});

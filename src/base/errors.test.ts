import { expect, test } from 'vitest';
import { asGodwitError, ERRORS, type ErrorCode, explain, GodwitError, hasCode } from './errors.ts';

const ROWS = Object.entries(ERRORS);

const DOCUMENT = `# Errors

Every error that godwit reports has a code. The command line prints the text, the code and what led to it, and ends with the exit
status; the API answers with the HTTP status and \`{"code", "message", "details"}\`. What stands in braces is in \`details\` under that name.

Exit status: 1 failed, 2 bad usage or input, 3 refused or blocked, 130 cancelled.

This page is made from \`src/base/errors.ts\`; \`npx vitest run --project unit -u src/base/errors.test.ts\` writes it again.

| code | text | HTTP | exit |
|---|---|---|---|
${ROWS.map(([code, row]) => `| \`${code}\` | ${row.text} | ${row.httpStatus} | ${row.exitStatus} |`).join('\n')}
`;

test('docs/errors.md says what the table says', async () => {
  await expect(DOCUMENT).toMatchFileSnapshot('../../docs/errors.md');
});

test.each(ROWS)('%s is in sentence case, without full stop, and has statuses that fit', (code, row) => {
  expect(code).toMatch(/^GW(_[A-Z]+)+$/);
  expect(row.text).toMatch(/^[A-Z{].*[^.\s]$/);
  expect(row.httpStatus).toBeGreaterThanOrEqual(400);
  expect([1, 2, 3, 130]).toContain(row.exitStatus);
});

test('a message has the details in it, text as it is and the rest as JSON', () => {
  const error = new GodwitError('GW_SYS_NO_ROOM', { resource: 'memory', host: 'b', needed: 5, available: [1, '$&'] });
  expect(error.message).toBe('Not enough memory on host b: 5 needed, [1,"$&"] available');
});

test('a detail that is missing shows as unknown', () => {
  expect(new GodwitError('GW_USAGE').message).toBe('unknown');
});

test('a body goes to a peer and comes back with code, details and the whole chain of causes', () => {
  const cause = new GodwitError('GW_SYS_CALL', { call: 'ioctl', errno: 'EBUSY' });
  const error = new GodwitError('GW_QEMU_START', { reason: 'no memory' }, { cause });
  const back = GodwitError.fromBody(JSON.parse(JSON.stringify(error.toBody())));
  expect(back.code).toBe('GW_QEMU_START');
  expect(back.details).toEqual({ reason: 'no memory' });
  expect(back.message).toBe('QEMU did not start: no memory: ioctl failed: EBUSY');
});

test('a body with a code from another version becomes an internal error with its words', () => {
  const back = GodwitError.fromBody({ code: 'GW_FROM_THE_FUTURE', message: 'Too warm', details: { a: 1 } });
  expect(back).toMatchObject({ code: 'GW_INTERNAL', message: 'Too warm', details: { reason: 'Too warm' } });
});

test.each(['constructor', '__proto__', 'toString'])('the code %s is no code', (code) => {
  expect(GodwitError.fromBody({ code, message: 'x' }).code).toBe('GW_INTERNAL');
});

test.each([[null], ['text'], [['list']], [5]])('details that are no object (%j) become none', (details) => {
  expect(GodwitError.fromBody({ code: 'GW_USAGE', message: 'x', details }).details).toEqual({});
});

test('an explanation names each cause once, outermost first', () => {
  const inner = new Error('EIO');
  const middle = new Error('cannot read: EIO', { cause: inner });
  const outer = new Error('cannot start', { cause: middle });
  expect(explain(outer)).toBe('cannot start: cannot read: EIO');
});

test('an explanation of causes that go round in a circle ends', () => {
  const error = new Error('round');
  error.cause = error;
  expect(explain(error)).toBe('round');
});

test.each([
  ['text', 'text'],
  [undefined, ''],
  [new Error('a', { cause: 'b' }), 'a: b'],
])('%s is explained as %j', (thrown, text) => {
  expect(explain(thrown)).toBe(text);
});

test('what is a GodwitError stays itself, anything else becomes the cause of an internal error', () => {
  const own = new GodwitError('GW_USAGE', { reason: 'x' });
  const foreign = new TypeError('not a function');
  expect(asGodwitError(own)).toBe(own);
  expect(asGodwitError(foreign)).toMatchObject({ code: 'GW_INTERNAL', cause: foreign });
  expect(asGodwitError('text').message).toBe('Internal error: text');
});

test('hasCode tells codes apart, and errors of others', () => {
  const code: ErrorCode = 'GW_USAGE';
  expect(hasCode(new GodwitError(code), 'GW_USAGE')).toBe(true);
  expect(hasCode(new GodwitError(code), 'GW_INTERNAL')).toBe(false);
  expect(hasCode(Object.assign(new Error('x'), { code }), 'GW_USAGE')).toBe(false);
});

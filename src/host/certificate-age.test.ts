import { expect, test } from 'vitest';
import { CertificateAge } from './certificate-age.ts';

const DAY_MS = 86_400_000;
const END_MS = Date.UTC(2027, 0, 1);
const of = (notAfterMs: number) => ({ names: ['a'], notBeforeMs: 0, notAfterMs });

test('a certificate is warned of thirty days, seven days and a day before its end, and at it, once each', () => {
  const age = new CertificateAge();
  const said = [40, 31, 30, 29.9, 8, 7, 6.9, 1.1, 1, 0.5, 0, -1, -100].map((days) =>
    age.warningOf(of(END_MS), END_MS - days * DAY_MS),
  );
  const short = said.map((text) => text && /less than (.*):|has (expired)/.exec(text)!.slice(1).join(''));
  expect(short).toEqual([
    ...[undefined, undefined, '30 days', undefined, undefined, '7 days', undefined, undefined],
    ...['a day', undefined, 'expired', undefined, undefined],
  ]);
});

test('a host that starts late is told the last step alone, and a renewed certificate begins anew', () => {
  const age = new CertificateAge();
  expect(age.warningOf(of(END_MS), END_MS - 0.5 * DAY_MS)).toContain('a day');
  expect(age.warningOf(of(END_MS + 365 * DAY_MS), END_MS)).toBeUndefined();
  expect(age.warningOf(of(END_MS + 365 * DAY_MS), END_MS + 340 * DAY_MS)).toContain('30 days');
});

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import type { AuditEntry } from '../api/audit.ts';
import { AuditLog } from './audit-log.ts';
import type { Logger } from './logger.ts';

let directory: TempDirectory;
let path: string;
let told: string[];
let counted: string[];
let open: AuditLog[];
beforeEach(() => {
  directory = new TempDirectory();
  path = directory.join('audit.log');
  [told, counted, open] = [[], [], []];
});
afterEach(() => {
  for (const audit of open) audit[Symbol.dispose]();
  directory[Symbol.dispose]();
});

function openLog(at: string | null = path): AuditLog {
  const tell = (level: string) => (facts: { reason?: string; audit?: AuditEntry }, text: string) => {
    told.push(
      `${level}: ${text}${facts.audit ? ` ${facts.audit.request}` : ''}${facts.reason ? ` ${facts.reason}` : ''}`,
    );
  };
  const log = { info: tell('info'), warn: tell('warn'), error: tell('error') } as unknown as Logger;
  const audit = new AuditLog(at, log, {
    requestRefused: (status) => counted.push(`refused ${status}`),
    auditUnwritten: () => counted.push('unwritten'),
  });
  open.push(audit);
  return audit;
}

const entry = (request: string, status = 200): AuditEntry =>
  ({ request, status, method: 'POST', route: '/v1/vms' }) as AuditEntry;
const requestsIn = (file: string): unknown[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as AuditEntry).request);

test('lines stand behind what is there, in a file of the owner alone', () => {
  openLog().record(entry('a'));
  openLog().record(entry('b'));
  expect(requestsIn(path)).toEqual(['a', 'b']);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(told).toEqual([]);
});

test.each([
  ['moved away', () => renameSync(path, `${path}.1`), ['b', 'c']],
  ['removed', () => rmSync(path), ['b', 'c']],
  ['replaced', () => renameSync(path, `${path}.1`) ?? writeFileSync(path, ''), ['b', 'c']],
  ['emptied', () => truncateSync(path), ['b', 'c']],
])('a file that was %s is followed by the next', (_what, rotate, requests) => {
  const audit = openLog();
  audit.record(entry('a'));
  rotate();
  audit.record(entry('b'));
  audit.record(entry('c'));
  expect(requestsIn(path)).toEqual(requests);
});

test('SIGHUP opens the file anew, and only while there is a log', () => {
  const before = process.listenerCount('SIGHUP');
  const audit = openLog();
  // Without a listener the signal ends the process.
  expect(process.listenerCount('SIGHUP')).toBe(before + 1);
  audit.record(entry('a'));
  process.emit('SIGHUP');
  audit.record(entry('b'));
  expect(requestsIn(path)).toEqual(['a', 'b']);
  audit[Symbol.dispose]();
  expect(process.listenerCount('SIGHUP')).toBe(before);
});

test('half a line of before is ended, and not continued', () => {
  writeFileSync(path, '{"request":"torn');
  openLog().record(entry('b'));
  expect(readFileSync(path, 'utf8').split('\n')[0]).toBe('{"request":"torn');
  expect(JSON.parse(readFileSync(path, 'utf8').split('\n')[1]!)).toMatchObject({ request: 'b' });
});

test('without a file lines are in the ordinary log, refusals as warnings', () => {
  const audit = openLog(null);
  audit.record(entry('a'));
  audit.record(entry('b', 403));
  expect(told).toEqual(['info: POST /v1/vms a', 'warn: POST /v1/vms b']);
  expect(counted).toEqual(['refused 403']);
});

test('on a full disk lines are in the ordinary log and counted, the reason is told once, and later lines are whole', () => {
  const disk = directory.join('disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'godwit-test', disk]);
  try {
    const audit = openLog(`${disk}/audit.log`);
    audit.record(entry('a'));
    // Not even a whole line more.
    appendFileSync(`${disk}/audit.log`, `${'x'.repeat(4096 - statSync(`${disk}/audit.log`).size - 11)}\n`);
    writeFileSync(`${disk}/other`, 'x'.repeat(4096));
    audit.record(entry('b'));
    audit.record(entry('c'));
    expect(counted).toEqual(['unwritten', 'unwritten']);
    expect(told).toEqual([
      expect.stringMatching(/^error: the audit log cannot be written: .* ENOSPC$/),
      'info: POST /v1/vms b',
      'info: POST /v1/vms c',
    ]);
    rmSync(`${disk}/other`);
    audit.record(entry('d'));
    expect(told.at(-1)).toBe('info: the audit log is written again');
    const lines = readFileSync(`${disk}/audit.log`, 'utf8').split('\n');
    expect(JSON.parse(lines.at(-2)!)).toMatchObject({ request: 'd' });
    // What got in of b.
    expect(lines.at(-3)).toMatch(/^\{"request"/);
  } finally {
    open[0]?.[Symbol.dispose]();
    execFileSync('umount', [disk]);
  }
});

test('what cannot be a log is refused with the setting', () => {
  for (const at of ['/dev/null', directory.path, directory.join('none', 'audit.log')]) {
    expect(() => openLog(at)).toThrow(/^auditLog: .*give a file that the daemon can write/);
  }
});

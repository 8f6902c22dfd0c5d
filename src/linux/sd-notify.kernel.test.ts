import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { notifySystemd } from './sd-notify.ts';

// Perl is essential in Debian and binds unix datagram sockets, which Node does not.
const RECEIVER = `
  use IO::Socket::UNIX; $| = 1; my $name = $ARGV[0]; $name =~ s/^@/\\0/;
  my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $name) or die $!;
  print "bound\\n"; $socket->recv(my $text, 1000); print $text;`;

let directory: string;
let receiver: ChildProcess;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-notify-'));
});

afterEach(() => {
  receiver.kill();
  rmSync(directory, { recursive: true });
});

test.each(['path', 'abstract'])('a %s socket receives the state', async (kind) => {
  const address = kind === 'path' ? join(directory, 'notify') : `@${directory}`;
  receiver = spawn('perl', ['-e', RECEIVER, address], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(receiver.stdout!, 'data');
  const received = once(receiver.stdout!, 'data');
  expect(notifySystemd('READY=1\nSTATUS=Serving', address)).toBe(true);
  expect(String((await received)[0])).toBe('READY=1\nSTATUS=Serving');
});

test('nobody is told outside systemd, and a dead socket is an error', () => {
  expect(notifySystemd('READY=1', undefined)).toBe(false);
  expect(notifySystemd('READY=1', 'vsock:2:1')).toBe(false);
  expect(() => notifySystemd('READY=1', join(directory, 'nothing'))).toThrow(/ENOENT/);
});

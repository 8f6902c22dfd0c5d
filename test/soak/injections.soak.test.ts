/**
 * Processes that are killed at random moments while they make others run system calls, or slow them: what the kernel tests
 * do a few times.
 */
import { expect, test } from 'vitest';
import { CountingQemu } from '../support/counting-qemu.ts';
import { killInjectors, killThrottles } from '../support/killed-injectors.ts';
import { Steady } from '../support/steady.ts';
import { waitUntil } from '../support/wait-until.ts';

const DEATHS = 400;
const SIGRTMIN = 34;

test.each([
  ['make it run system calls', killInjectors],
  ['slow it', killThrottles],
])(`a process does not notice that they who %s are killed, ${DEATHS} times`, async (_, killMany) => {
  using steady = await Steady.start();
  let sent = 0;
  const shower = setInterval(() => {
    process.kill(steady.pid, SIGRTMIN);
    sent++;
  }, 1);
  try {
    await killMany(steady.pid, DEATHS, () => steady.goesOn());
  } finally {
    clearInterval(shower);
  }
  await waitUntil('all signals have been handled', () => steady.signals === sent);
});

test(`QEMU is unharmed by ${DEATHS} processes that are killed while they make it run system calls`, async () => {
  await using qemu = await CountingQemu.start(16);
  await killInjectors(qemu.pid, DEATHS, async () => {
    expect(await qemu.execute('query-status')).toMatchObject({ status: 'running' });
    const before = qemu.count();
    await waitUntil('the guest counts', () => qemu.count() !== before);
  });
});

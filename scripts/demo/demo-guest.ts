/**
 * The demo's VM as its user sees it: through the console, wherever it runs at the moment.
 *
 * Must hold: what the guest says is read from the guest, not concluded.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Heartbeat, readHeartbeats } from '../../guest/linux/console.ts';
import { linuxGuestCommandLine, linuxGuestImages } from '../../guest/linux/images.ts';
import type { VmSpecInput } from '../../src/api/vm-schema.ts';
import type { DemoHost } from './demo-host.ts';

export const VM_NAME = 'web1';

/** Enough to be seen moving: 200 MiB that check themselves, of which 32 MiB are rewritten all the time. */
export const WORKLOAD = { fillMiB: 200, workingSetMiB: 32, rate: 2000 } as const;

const POLL_MS = 100;
const HEARTBEAT_TIMEOUT_MS = 30_000;
const CHECK_TIMEOUT_MS = 30_000;

export function demoSpec(): VmSpecInput {
  const images = linuxGuestImages();
  return { name: VM_NAME, memory: '512MiB', boot: { ...images, cmdline: linuxGuestCommandLine(WORKLOAD) } };
}

export class DemoGuest {
  #host: DemoHost;

  constructor(host: DemoHost) {
    this.#host = host;
  }

  /** It has moved. */
  movedTo(host: DemoHost): void {
    this.#host = host;
  }

  text(): Promise<string> {
    return this.#host.client.consoleText(VM_NAME);
  }

  async heartbeats(): Promise<Heartbeat[]> {
    return readHeartbeats(await this.text());
  }

  /** Waits for this heartbeat. Returns the lines of all after `from`, as the guest wrote them. */
  async waitForHeartbeat(number: number, from: number): Promise<string[]> {
    const deadlineMs = performance.now() + HEARTBEAT_TIMEOUT_MS;
    for (;;) {
      const text = await this.text();
      const lines = text.split(/\r?\n/).slice(0, -1);
      const beats = lines.filter((line) => numberOf(line) > from);
      if (beats.some((line) => numberOf(line) >= number)) return beats;
      if (performance.now() > deadlineMs) {
        throw new Error(`Heartbeat ${number} of the guest did not come in time; its last words:\n${text.slice(-500)}`);
      }
      await delay(POLL_MS);
    }
  }

  /** Types `check` at the console: the guest verifies every page of its workload now. Returns its answer. */
  async check(): Promise<string> {
    const { consoleLogPath } = await this.#host.client.showVm(VM_NAME);
    const before = (await this.text()).length;
    const socket = connect(join(dirname(consoleLogPath!), 'console.sock'));
    try {
      await once(socket, 'connect');
      socket.resume();
      socket.write('check\n');
      const deadlineMs = performance.now() + CHECK_TIMEOUT_MS;
      while (performance.now() < deadlineMs) {
        const answer = /^check: .*(?=\r?\n)/m.exec((await this.text()).slice(before))?.[0];
        if (answer !== undefined) return answer;
        await delay(POLL_MS);
      }
      throw new Error('The guest did not answer to the command check');
    } finally {
      socket.destroy();
    }
  }
}

/** 0 for a line that is no heartbeat. */
function numberOf(line: string): number {
  return Number(/^heartbeat (\d+) /.exec(line)?.[1] ?? 0);
}

/**
 * A running guest as the bench looks at it: from outside, by the same means whoever runs it.
 *
 * Owns: descriptors of its RAM file and logs, so that their last state can be read when QEMU and its files are gone.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { lastHeartbeat, readComplaints } from '../guest/linux/console.ts';
import { listOpenFiles, listThreads, readCommandLine } from '../src/linux/process.ts';
import { type RunStateChange, readRunStates } from './run-state-log.ts';

/** Linux with the workload is up in 2 s; more when the machine has other work. */
const BOOT_TIMEOUT_MS = 60_000;
const CHECK_TIMEOUT_MS = 15_000;
const POLL_MS = 20;

export class Guest implements Disposable {
  readonly pid: number;
  /** Threads that run the guest's own instructions. */
  readonly vcpuTids: readonly number[];
  readonly ramFd: number;
  readonly #logFd: number;
  readonly #consoleLogFd: number;
  readonly #consoleSocketPath: string;

  private constructor(pid: number, paths: { ram: string; log: string; consoleLog: string; consoleSocket: string }) {
    this.pid = pid;
    this.vcpuTids = listThreads(pid)
      .filter(({ name }) => name.startsWith('CPU '))
      .map(({ tid }) => tid);
    this.ramFd = openSync(paths.ram, 'r');
    this.#logFd = openSync(paths.log, 'r');
    this.#consoleLogFd = openSync(paths.consoleLog, 'r');
    this.#consoleSocketPath = paths.consoleSocket;
  }

  /** Everything about it is found in /proc. Undefined while QEMU is still starting. */
  static find(pid: number): Guest | undefined {
    const ram = listOpenFiles(pid).find(({ path }) => path.startsWith('/dev/shm/'));
    const console = readCommandLine(pid)
      .map((word) => /^socket,id=godwit-console,path=([^,]+),.*logfile=([^,]+)/.exec(word))
      .find((match) => match !== null);
    if (ram === undefined || !console) return undefined;
    return new Guest(pid, {
      ram: `/proc/${pid}/fd/${ram.fd}`,
      log: `/proc/${pid}/fd/2`,
      consoleSocket: console[1]!,
      consoleLog: console[2]!,
    });
  }

  get runStates(): RunStateChange[] {
    return readRunStates(`/proc/self/fd/${this.#logFd}`);
  }

  get console(): string {
    return readFileSync(`/proc/self/fd/${this.#consoleLogFd}`, 'latin1');
  }

  /** Waits until the workload has said that it works. */
  async booted(): Promise<void> {
    await this.#until(() => (lastHeartbeat(this.console)?.work ?? 0) > 0, BOOT_TIMEOUT_MS, 'the guest does not boot');
  }

  /** Types a line at the guest's console. */
  type(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.#consoleSocketPath);
      socket.once('error', reject);
      socket.resume();
      socket.write(`${line}\n`, () => resolve());
      // Closed at once QEMU would drop what it has not read yet.
      setTimeout(() => socket.destroy(), 500);
    });
  }

  /** What is wrong with the guest: undefined when it lives and all of its memory is what it must be. */
  async findDamage(): Promise<string | undefined> {
    const from = this.console.length;
    try {
      await this.type('check');
      await this.#until(
        () => /check: memory [^\n]*\n/.test(this.console.slice(from)),
        CHECK_TIMEOUT_MS,
        'no answer to check',
      );
    } catch (error) {
      return readComplaints(this.console)[0] ?? (error as Error).message;
    }
    return readComplaints(this.console)[0];
  }

  [Symbol.dispose](): void {
    for (const fd of [this.ramFd, this.#logFd, this.#consoleLogFd]) closeSync(fd);
  }

  async #until(reached: () => boolean, timeoutMs: number, failure: string): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!reached()) {
      if (performance.now() > deadlineMs) throw new Error(`${failure}; its console: ${this.console.slice(-400)}`);
      await delay(POLL_MS);
    }
  }
}

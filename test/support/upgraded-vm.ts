/** A host with a VM whose QEMU is to be replaced, and what there is to see of it from outside. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { readMappings } from '../../src/linux/process.ts';
import { digestMemory } from '../../src/memory/digest.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { RamLayout } from '../../src/memory/layout.ts';
import { startHost } from './godwit-host.ts';
import { createTinyVm, openTinyGuest, type ReachedHost } from './host-pair.ts';
import { worksIntact } from './intact-vm.ts';
import { openTellingClient } from './telling-client.ts';
import type { TinyGuestView } from './tiny-guest-view.ts';
import { CALM, type TinyVmOptions } from './tiny-vm.ts';
import { listQemus, noMarks } from './traces.ts';
import { waitUntil } from './wait-until.ts';

export const VM = 'upgraded';
/** It writes a dot to its console with every pass. */
export const TALKING = { ...CALM, heartbeatPasses: 1, pageCount: 256 } as const;

const STILL_MS = 100;
const UPGRADE_TIMEOUT_MS = 60_000;
const DISK_BYTES = 2 ** 20;

export class UpgradingHost implements AsyncDisposable {
  readonly at: ReachedHost;

  private constructor(at: ReachedHost) {
    this.at = at;
  }

  /** @param fault - GODWIT_FAULT of its daemons */
  static async open(fault: string | undefined, options: Partial<TinyVmOptions> = {}): Promise<UpgradingHost> {
    const host = await startHost({ name: 'a', env: fault === undefined ? {} : { GODWIT_FAULT: fault } });
    const opened = new UpgradingHost({ host, client: openTellingClient(host) });
    // Its image is locked by the QEMU that runs the VM.
    const path = host.directory.join('disk.raw');
    writeFileSync(path, Buffer.alloc(DISK_BYTES));
    await createTinyVm(opened.at, { name: VM, guest: CALM, disks: [{ path, format: 'raw' }], ...options });
    return opened;
  }

  async pid(): Promise<number> {
    return (await this.at.client.showVm(VM)).pid!;
  }

  get journalPath(): string {
    return this.at.host.directory.join('state', 'vms', VM, 'upgrade.journal');
  }

  /** Waits for a record; throws when the upgrade ends before. */
  async journalHas(record: string, upgrade: Promise<unknown>): Promise<void> {
    const isThere = (): boolean =>
      existsSync(this.journalPath) && readFileSync(this.journalPath, 'utf8').includes(`"kind":"${record}"`);
    const waiting = waitUntil(`the journal has ${record}`, isThere, { timeoutMs: UPGRADE_TIMEOUT_MS });
    await Promise.race([waiting, upgrade]);
    expect(isThere()).toBe(true);
  }

  /** Waits until the guest is stopped: it writes nothing for longer than it would rest. */
  async standsStill(guest: TinyGuestView): Promise<void> {
    let seen = -1;
    await waitUntil('the guest stands still', async () => {
      const before = seen;
      seen = guest.counters.pagesWritten;
      await delay(STILL_MS);
      return before === seen;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.at.client.close();
    await this.at.host[Symbol.asyncDispose]();
  }
}

/** One QEMU of this VM is left, it is this process, and its guest works with the memory that it had. */
export async function runsAlone(at: ReachedHost, vm: string, pid: number): Promise<void> {
  await waitUntil('one QEMU is left', () => listQemus(at).length === 1);
  expect(await at.client.showVm(vm)).toMatchObject({ pid, state: 'running', migration: null });
  expect(listQemus(at)).toEqual([pid]);
  await noMarks(pid);
  await worksIntact(at, vm);
}

/** Device and inode of each file that its memory is in, as the kernel sees them mapped. */
export function ramFilesOf(pid: number): string[] {
  const files = readMappings(pid).filter(({ path }) => path.startsWith('/dev/shm/godwit-'));
  expect(files.length).toBeGreaterThan(0);
  return [...new Set(files.map(({ device, inode }) => `${device} ${inode}`))];
}

/** Of a VM that stands still. */
export async function digestOf(at: ReachedHost, vm: string): Promise<string> {
  using guest = await openTinyGuest(at, vm);
  const memory = new GuestMemory(new RamLayout([{ id: 'ram', bytes: guest.ram.bytes }]), [guest.ram]);
  return digestMemory(memory, { scheme: 'sha256' }).digest;
}

import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Capability, requireCapability } from '../../test/support/capability.ts';
import { withFurther } from '../../test/support/further-cases.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { qemuVersions } from '../../test/support/other-qemu.ts';
import { SharingVms } from '../../test/support/sharing-vms.ts';
import { startTinyVm, type TinyVm } from '../../test/support/tiny-vm.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import {
  ownPage,
  REGION_PAGE_BYTES,
  type RegionLayout,
  RING_ENTRY_BYTES,
  regionLayout,
  ringCapacity,
  ringPage,
} from './region-layout.ts';

checkLeaks();

interface Variant {
  readonly accel: 'tcg' | 'kvm';
  readonly mode: 'long3' | 'prot32';
  readonly vcpus: number;
}

const RANDOM_STOPS = 10;
/** All entries of a ring, and all pages, have been written anew several times. */
const MANY_INCREMENTS = 20_000;

describeSharing('tiny guests that share a region under TCG', ['vm'], { accel: 'tcg', mode: 'long3', vcpus: 2 });
for (const mode of withFurther<Variant['mode']>([], ['prot32'])) {
  describeSharing('32-bit ones under TCG', ['vm'], { accel: 'tcg', mode, vcpus: 2 });
}
describeSharing('tiny guests that share a region under KVM', ['vm', 'kvm'], { accel: 'kvm', mode: 'long3', vcpus: 1 });

function describeSharing(name: string, needed: Capability[], { accel, mode, vcpus }: Variant): void {
  const vm = { accel, vcpus, memoryMiB: 16, guest: { mode } };
  requireCapability(...needed)(name, () => {
    test.each([
      { count: 1, machine: 'q35' },
      { count: 2, machine: 'pc' },
      { count: 3, machine: 'q35' },
      { count: 5, machine: 'pc' },
    ])('$count on $machine lose nothing, whenever they are stopped', async ({ count, machine }) => {
      const startingMs = performance.now();
      await using sharing = await SharingVms.start({ count, vm: { ...vm, machine } });
      const readyMs = Math.round((performance.now() - startingMs) / count);
      const before = totals(sharing);
      const startedMs = performance.now();
      for (let stop = 0; stop < RANDOM_STOPS; stop++) {
        await sharing.work(500);
        await delay(randomInt(20));
        await sharing.stop();
        expect(sharing.check().problems).toEqual([]);
        for (const { guest } of sharing.vms) expect(guest.checkInvariant()).toEqual({ ok: true });
        await sharing.resume();
      }
      await sharing.stop();
      const seconds = (performance.now() - startedMs) / 1000;
      expect(sharing.check().problems).toEqual([]);
      const after = totals(sharing);
      const rate = (of: 'increments' | 'entries'): number => Math.round((after[of] - before[of]) / seconds);
      console.log(
        `${name}, ${count}: ${rate('increments')} increments/s, ${rate('entries')} entries read/s, ready after ${readyMs} ms each`,
      );
    });

    const [member, own] = [0, 1];
    test.each<[string, boolean, (layout: RegionLayout) => number]>([
      ['a counter', true, () => 7],
      ['what the writer has produced', true, (layout) => ringPage(layout, member)],
      ['what the reader has consumed', true, (layout) => ringPage(layout, member) + 1],
      ['entries', false, (layout) => ringPage(layout, member) + 3],
      ["a member's own page", true, (layout) => ownPage(layout, own) + 5],
    ])('an older copy of the page with %s is found', async (_, byGuest, pageOf) => {
      await using sharing = await SharingVms.start({ count: 2, vm });
      const offset = pageOf(sharing.layout) * REGION_PAGE_BYTES;
      await sharing.work(MANY_INCREMENTS);
      await sharing.stop();
      const old = new Uint8Array(REGION_PAGE_BYTES);
      sharing.region.read(offset, old);
      await sharing.resume();
      await sharing.work(MANY_INCREMENTS);
      await sharing.stop();
      expect(sharing.check().problems).toEqual([]);
      sharing.region.write(offset, old);
      expect(sharing.check().problems).not.toEqual([]);
      // Entries that have been read are looked at by nobody but `check`.
      if (byGuest) await goBackUntilSeen(sharing, offset, old);
    });

    test.each([0, 4, 8, 12])('an entry with another word at %i is noticed by the one who reads it', async (byte) => {
      await using sharing = await SharingVms.start({ count: 2, vm });
      const [writer, reader] = sharing.vms as [TinyVm, TinyVm];
      await sharing.work(1000);
      await reader.stop();
      const capacity = ringCapacity(sharing.layout);
      const isFull = (): boolean => writer.guest.sharing.produced - reader.guest.sharing.consumed === capacity;
      await waitUntil('the ring is full', isFull);
      const page = ringPage(sharing.layout, member) + 2;
      const entry = (reader.guest.sharing.consumed + 10) % capacity;
      const word = new Uint32Array(1);
      const at = page * REGION_PAGE_BYTES + entry * RING_ENTRY_BYTES + byte;
      sharing.region.read(at, new Uint8Array(word.buffer));
      sharing.region.write(at, new Uint8Array(Uint32Array.of(word[0]! ^ 0x10000).buffer));
      expect(reader.guest.sharing.errors).toBe(0);
      await reader.resume();
      await anyError(sharing);
      expect(reader.guest.sharing).toMatchObject({
        errors: 1,
        firstError: {
          kind: 'the entry is not the next one',
          page: page + Math.floor((entry * RING_ENTRY_BYTES) / REGION_PAGE_BYTES),
        },
      });
    });

    test('a counter that is one too high, or too low, is found', async () => {
      await using sharing = await SharingVms.start({ count: 3, vm });
      await sharing.work(MANY_INCREMENTS);
      await sharing.stop();
      const counter = new Uint32Array(1);
      const page = idleCounter(sharing);
      const at = page * REGION_PAGE_BYTES;
      sharing.region.read(at, new Uint8Array(counter.buffer));
      const problems = [1, -1].map((change) => {
        sharing.region.write(at, new Uint8Array(Uint32Array.of(counter[0]! + change).buffer));
        return sharing.check().problems;
      });
      expect(problems).toEqual([
        [expect.stringContaining(`Counter ${page} `)],
        [expect.stringContaining(`Counter ${page} `)],
      ]);
    });

    test('a page that is gone is found', async () => {
      await using sharing = await SharingVms.start({ count: 2, regionMiB: 16, layout: { counterPages: 2048 }, vm });
      await sharing.work(3 * 2048);
      await sharing.stop();
      expect(sharing.check().problems).toEqual([]);
      sharing.region.punch(1000 * REGION_PAGE_BYTES, REGION_PAGE_BYTES);
      expect(sharing.check().problems).toEqual([expect.stringMatching(/^Counter 1000 is 0; /)]);
    });

    test('a guest without the device says so', async () => {
      const layout = regionLayout({ memberCount: 1 }, 2 ** 20);
      const starting = startTinyVm({ ...vm, guest: { mode, sharing: { layout, member: 0 } } });
      await expect(starting).rejects.toThrow('no ivshmem device');
    });

    test('it sees how large its region is', async () => {
      await using sharing = await SharingVms.start({ count: 1, regionMiB: 64, vm });
      expect((sharing.vms[0] as TinyVm).guest.sharing.regionBytes).toBe(64 * 2 ** 20);
    });
  });
}

requireCapability('vm')('locked instructions under TCG', () => {
  const layout = { counterPages: 1 };
  const vm = { accel: 'tcg', vcpus: 1 } as const;

  test('are not locked for other processes on a machine with one vCPU, and the check sees it', async () => {
    await using sharing = await SharingVms.start({ count: 3, layout, vm });
    await waitUntil('an increment is lost', async () => {
      await sharing.work(1000);
      await sharing.stop();
      const { problems } = sharing.check();
      await sharing.resume();
      return problems.length > 0;
    });
  });

  test.each(qemuVersions())('are locked on one that could have two, with %s', async (qemu) => {
    const qemuArgs = ['-smp', '1,maxcpus=2'];
    await using sharing = await SharingVms.start({ count: 3, layout, vm: { ...vm, qemu, qemuArgs } });
    for (let stop = 0; stop < RANDOM_STOPS; stop++) {
      await sharing.work(MANY_INCREMENTS);
      await sharing.stop();
      expect(sharing.check().problems).toEqual([]);
      await sharing.resume();
    }
  });
});

function totals(sharing: SharingVms): { increments: number; entries: number } {
  const members = sharing.vms.map(({ guest }) => guest.sharing);
  const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0);
  return {
    increments: sum(members.map(({ increments }) => increments)),
    entries: sum(members.map(({ consumed }) => consumed)),
  };
}

async function anyError(sharing: SharingVms): Promise<void> {
  await waitUntil('a guest has seen it', () => sharing.vms.some(({ guest }) => guest.sharing.errors > 0));
}

/** A guest that was stopped right before it stores the next value there sees nothing, and puts it right: once more. */
async function goBackUntilSeen(sharing: SharingVms, offset: number, old: Uint8Array): Promise<void> {
  await waitUntil('a guest has seen it', async () => {
    await sharing.resume();
    await Promise.all(sharing.vms.map(({ guest }) => guest.increments(100)));
    await sharing.stop();
    if (sharing.vms.some(({ guest }) => guest.sharing.errors > 0)) return true;
    sharing.region.write(offset, old);
    return false;
  });
}

/** One that no member was just about to increment. */
function idleCounter(sharing: SharingVms): number {
  const pending = sharing.vms.map(({ guest }) => guest.sharing.pendingCounter);
  return [0, 1, 2, 3].find((page) => !pending.includes(page))!;
}

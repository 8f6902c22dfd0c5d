import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability, TEST_QEMU } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { OtherQemu } from '../../test/support/other-qemu.ts';
import { sampleRecord } from '../../test/support/scripted-engine.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { CALM, startTinyVm } from '../../test/support/tiny-vm.ts';
import { waitForExit } from '../linux/process.ts';
import { qmpChardev } from '../qemu/command-line.ts';
import { startQemu } from '../qemu/process.ts';
import type { Message } from '../wire/messages.ts';
import type { Admission, IncomingPolicy } from './handle.ts';
import { NO_CONTENTS } from './held-contents.ts';
import { OfferScreening, removeLeftChecks } from './offer-screening.ts';
import { SourceGuest } from './source-guest.ts';
import { makeOffer, newSessionKey } from './source-offer.ts';
import { vmPaths } from './vm-record.ts';

checkLeaks();

const ID = '01234567-89ab-cdef-0123-456789abcdef';
const NEVER = new AbortController().signal;

let directory: TempDirectory;
let calls: string[];
let admission: Admission;
beforeEach(() => {
  directory = new TempDirectory();
  mkdirSync(directory.join('vms'));
  calls = [];
  admission = { kind: 'admitted' };
});
afterEach(() => directory[Symbol.dispose]());

function vmsLeft(): string[] {
  return readdirSync(directory.join('vms'));
}

function openScreening(checkLimitMs?: number): OfferScreening {
  const policy: IncomingPolicy = {
    hostName: 'b',
    stateDirectory: directory.path,
    allowedNetworkScripts: [],
    images: null,
    contents: NO_CONTENTS,
    admit: ({ migrationId }) => {
      calls.push(`admit ${migrationId.slice(0, 2)}`);
      return admission;
    },
    sharedPathsOf: () => ({}),
    onChecked: (id) => {
      calls.push(`${vmsLeft().length === 0 ? 'gone' : 'left'} ${id.slice(0, 2)}`);
    },
    onIncoming: () => undefined,
  };
  return new OfferScreening(policy, checkLimitMs);
}

/** Of a real VM, as its host makes it. */
async function offerOf(vm: Awaited<ReturnType<typeof startTinyVm>>): Promise<Message<'offer'>> {
  const { pid, startTicks } = vm.identity;
  const record = sampleRecord({ name: vm.name, pid, startTicks, qmpPath: vm.adoptQmpPath });
  const guest = await SourceGuest.open(record);
  const facts = { id: ID, sessionKey: newSessionKey(), hostName: 'a', mode: 'auto', epoch: 2 } as const;
  const offer = makeOffer({ ...facts, vm: record, verify: null, checkOnly: true }, guest);
  guest.close();
  return offer;
}

requireCapability('vm')('checks of a VM', () => {
  test('come one after the other, and each is over before the next is let in', async () => {
    await using vm = await startTinyVm({ adoptable: true, guest: CALM });
    const offer = await offerOf(vm);
    const screening = openScreening();
    const second = { ...offer, migrationId: ID.replace('01', '02') };
    const answers = await Promise.all([offer, second].map((each) => screening.screen(each, 'peer', NEVER)));
    expect(answers).toMatchObject([0, 1].map(() => ({ kind: 'answer', message: { kind: 'ready', notes: [] } })));
    expect(calls).toEqual(['admit 01', 'gone 01', 'admit 02', 'gone 02']);
  });

  test('start no QEMU that has no place or room, and say that it is not known what it would be', async () => {
    await using vm = await startTinyVm({ adoptable: true, guest: CALM });
    admission = { kind: 'notYet', reason: 'no place' };
    const answer = await openScreening().screen(await offerOf(vm), 'peer', NEVER);
    const notes = [
      'it would have to wait: no place',
      expect.stringContaining('it is not known whether its QEMU starts'),
    ];
    expect(answer).toMatchObject({ kind: 'answer', message: { kind: 'ready', notes } });
    expect(calls).toEqual(['admit 01']);
  });

  test('that are not wanted any more end at once, also those that wait for others', async () => {
    await using vm = await startTinyVm({ adoptable: true, guest: CALM });
    const offer = await offerOf(vm);
    const screening = openScreening();
    const first = screening.screen(offer, 'peer', NEVER);
    const gone = new AbortController();
    const waits = screening.screen({ ...offer, migrationId: ID.replace('01', '02') }, 'peer', gone.signal);
    gone.abort(new Error('gone'));
    await expect(waits).rejects.toThrow('gone');
    await expect(first).resolves.toMatchObject({ message: { kind: 'ready' } });
    await expect(screening.screen(offer, 'peer', AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(calls).toEqual(['admit 01', 'gone 01']);
  });

  test('end when they take too long: those that wait, too', async () => {
    using other = new OtherQemu({ arriving: 'kill -STOP $$' });
    await using vm = await startTinyVm({ adoptable: true, guest: CALM });
    const offer = await offerOf(vm);
    const hanging = { ...offer, vm: { ...offer.vm, binary: other.path } };
    const screening = openScreening(1500);
    const answers = await Promise.allSettled([hanging, offer].map((each) => screening.screen(each, 'peer', NEVER)));
    const reason = { code: 'GW_QEMU_START', message: expect.stringContaining('took longer than 1500 ms') };
    expect(answers).toMatchObject([0, 1].map(() => ({ status: 'rejected', reason })));
    await screening.close();
    // The other may have its turn in the last moment.
    expect(calls.slice(0, 2)).toEqual(['admit 01', 'gone 01']);
    expect(vmsLeft()).toEqual([]);
  });

  test('do not touch an instance of the VM that has the id of the offer', async () => {
    await using vm = await startTinyVm({ adoptable: true, guest: CALM });
    const arriving = vmPaths(directory.path, vm.name, ID.slice(0, 8));
    mkdirSync(arriving.directory, { recursive: true });
    await openScreening().screen(await offerOf(vm), 'peer', NEVER);
    expect(readdirSync(directory.join('vms', vm.name))).toEqual([ID.slice(0, 8)]);
  });

  test('that a dead daemon had begun are ended, and nothing else is', async () => {
    const left = vmPaths(directory.path, 'left', 'q0123abc');
    const started = vmPaths(directory.path, 'started', 'q0123abc');
    const kept = vmPaths(directory.path, 'kept', '0123abcd');
    for (const paths of [left, started, kept]) mkdirSync(paths.directory, { recursive: true });
    writeFileSync(kept.record, '{}');
    writeFileSync(directory.join('vms', 'stray'), '');
    const { qmpPath, logPath } = { qmpPath: left.qmp, logPath: left.qemuLog };
    const monitor = ['-chardev', qmpChardev(qmpPath), '-mon', 'chardev=godwit-qmp,mode=control'];
    const args = ['-machine', 'none', '-nodefaults', '-display', 'none', ...monitor];
    const { identity, qmp } = await startQemu({ binary: TEST_QEMU, args, qmpPath, logPath, ramPaths: [] });
    qmp.close();
    await removeLeftChecks(directory.path);
    expect(await waitForExit(identity, { timeoutMs: 5000 })).toBe(true);
    expect(vmsLeft()).toEqual(['kept', 'stray']);
    expect(existsSync(kept.directory)).toBe(true);
  });
});

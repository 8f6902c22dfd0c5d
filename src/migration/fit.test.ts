import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { MESSAGE_SAMPLES } from '../../test/support/wire-samples.ts';
import { printCpuFeature } from '../qemu/cpu-features.ts';
import type { VmFacts } from '../qemu/facts.ts';
import { explainBlockers } from './blocked.ts';
import { chooseBinary, deriveOffered, explainDifferences, findObjection, placeOf } from './fit.ts';

const FALLBACK = 'qemu-system-x86_64';
const root = mkdtempSync(join(tmpdir(), 'godwit-fit-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function makeBinary(directory: string, name: string, modes = { directory: 0o755, file: 0o755 }): string {
  const path = join(root, directory, name);
  mkdirSync(join(root, directory), { recursive: true });
  writeFileSync(path, '');
  chmodSync(path, modes.file);
  chmodSync(join(root, directory), modes.directory);
  return path;
}

describe('a binary that a peer names', () => {
  test.each(['qemu', 'qemu-system-x86_64', 'qemu-system-aarch64'])('is used: %s', (name) => {
    const binary = makeBinary('good', name);
    expect(chooseBinary({ binary })).toBe(binary);
    expect(chooseBinary({ binary: name })).toBe(name);
  });

  test.each([
    ['another program', () => makeBinary('good', 'evil.sh'), 'is not named like a QEMU'],
    ['another program of PATH', () => 'sh', 'is not named like a QEMU'],
    ['a name that goes on', () => makeBinary('good', 'qemu-system-x86_64.sh'), 'is not named like a QEMU'],
    ['a relative path', () => './qemu', 'is a relative path'],
    ['no file', () => join(root, 'qemu'), 'is not on this host'],
    ['a directory', () => dirname(makeBinary('e/qemu', 'x')), 'is no file'],
    ['a file that a group can write', () => makeBinary('a', 'qemu', { directory: 0o755, file: 0o775 }), 'can change'],
    ['a directory that all can write', () => makeBinary('b', 'qemu', { directory: 0o1777, file: 0o755 }), 'can change'],
  ])('is not used: %s', (_, make, objection) => {
    const binary = make();
    expect(chooseBinary({ binary })).toBe(FALLBACK);
    expect(findObjection(binary)).toContain(objection);
  });

  test('is not used when a link leads to where others can write', () => {
    const target = makeBinary('c', 'anything', { directory: 0o777, file: 0o755 });
    mkdirSync(join(root, 'links'));
    const binary = join(root, 'links', 'qemu');
    symlinkSync(target, binary);
    expect(chooseBinary({ binary })).toBe(FALLBACK);
  });

  test.skipIf(process.geteuid?.() !== 0)('is not used when it is owned by somebody else', () => {
    const binary = makeBinary('d', 'qemu');
    chownSync(binary, 65534, 65534);
    expect(chooseBinary({ binary })).toBe(FALLBACK);
  });
});

describe('the command line that an offered VM will have here', () => {
  const HOST = { stateDirectory: '/state', allowedNetworkScripts: ['/etc/up'], images: null };
  const RAM = '-object memory-backend-file,id=ram0,size=16M,mem-path=/dev/shm/x,share=on';

  function offered(line: string, host = HOST): ReturnType<typeof deriveOffered> {
    const args = `-machine q35,memory-backend=ram0 ${RAM} -nodefaults ${line}`.split(' ');
    return deriveOffered({ ...MESSAGE_SAMPLES.offer.vm, args }, placeOf(MESSAGE_SAMPLES.offer, host));
  }

  test('names files of this host and of this migration', () => {
    expect(offered('-serial stdio')).toMatchObject({
      kind: 'derived',
      args: expect.arrayContaining([expect.stringContaining('path=/state/vms/web1/01234567/console.sock')]),
      ramFiles: [{ path: '/dev/shm/godwit-web1-01234567' }],
    });
  });

  test('may name the network scripts that this host allows', () => {
    expect(offered('-netdev tap,id=n0,script=/etc/up,downscript=no')).toMatchObject({ kind: 'derived' });
    expect(offered('-netdev tap,id=n0,script=/etc/down')).toMatchObject({ kind: 'blocked' });
  });

  test('has the paths that its relative ones mean at the source', () => {
    const args = `-machine q35,memory-backend=ram0 ${RAM} -nodefaults -kernel ./vmlinuz`.split(' ');
    const { vm } = MESSAGE_SAMPLES.offer;
    const at = (directory: string) =>
      deriveOffered({ ...vm, args, facts: { ...vm.facts, directory } }, placeOf(MESSAGE_SAMPLES.offer, HOST));
    expect(at('/home/u')).toMatchObject({ kind: 'derived', args: expect.arrayContaining(['/home/u/vmlinuz']) });
    expect(at('home')).toMatchObject({ kind: 'blocked', blockers: [{ id: 'relative-path' }] });
  });

  test('is blocked in words: what, why, and the cure', () => {
    const blocked = offered('-drive file=d.img -snapshot');
    expect(blocked.kind === 'blocked' && explainBlockers(blocked.blockers)).toBe(
      'd.img: -drive file is a relative path (start the VM with absolute paths); ' +
        '-snapshot: writes go to a temporary file that only the source has (start the VM without -snapshot)',
    );
  });

  test('is blocked where its sockets would have too long a path', () => {
    expect(offered('', { ...HOST, stateDirectory: `/${'d'.repeat(90)}` })).toMatchObject({
      kind: 'blocked',
      blockers: [{ id: 'socket-path' }],
    });
  });
});

describe('the machine that waits here', () => {
  const FACTS = {
    qemuVersion: '7.2.22',
    machineType: 'pc-q35-7.2',
    accel: 'tcg',
    cpuModel: 'host',
    cpuFeatures: [{ register: '0x1.ECX', bits: 0b101 }],
    vcpuTids: [1, 2],
    devices: [{ id: 'net0', type: 'virtio-net-pci' }],
  } as unknown as VmFacts;
  const OFFERED = {
    ...MESSAGE_SAMPLES.offer.vm,
    qemuVersion: '7.2.22',
    cpuModel: 'host',
    cpuFeatures: FACTS.cpuFeatures.map(printCpuFeature),
    facts: { vcpus: 2, devices: ['net0 (virtio-net-pci)'] },
  };

  test('is the one that was offered', () => {
    expect(explainDifferences(OFFERED, FACTS)).toBeUndefined();
  });

  test('has a CPU that differs: which bits, which way, the cure, and that the versions of QEMU differ', () => {
    const cpuFeatures = [
      { register: '0x1.ECX', bits: 0b001 },
      { register: '0x7:0.EBX', bits: 0b100000 },
    ];
    expect(explainDifferences(OFFERED, { ...FACTS, cpuFeatures, qemuVersion: '10.0.8' })).toBe(
      '-cpu host: the guest would see another CPU: this host lacks CPUID 0x1.ECX bit 2 and has in addition CPUID ' +
        '0x7:0.EBX bit 5 (start the VM with a -cpu model that both hosts have in full, such as qemu64 or a named one); ' +
        'QEMU 7.2.22 there, 10.0.8 here',
    );
  });

  test.each<[string, Partial<VmFacts>, RegExp]>([
    [
      'a register that is empty there',
      { cpuFeatures: [...FACTS.cpuFeatures, { register: '0x7:0.EBX', bits: 1 }] },
      /EBX/,
    ],
    ['vCPUs', { vcpuTids: [1] }, /vcpus: it is 2 at the source and 1 here/],
    ['devices', { devices: [] }, /lacks net0 \(virtio-net-pci\)/],
    ['accelerator', { accel: 'kvm' }, /it is tcg at the source and kvm here/],
    ['machine type', { machineType: 'pc-q35-10.0' }, /it is pc-q35-7.2 at the source/],
  ])('differs: %s', (_, changes, text) => {
    expect(explainDifferences(OFFERED, { ...FACTS, ...changes })).toMatch(text);
  });

  test.each([
    ['nothing', {}],
    ['what is no list of devices', { vcpus: 'two', devices: 'net0' }],
    ['names that a terminal would obey', { devices: ['\u001b[2J'] }],
  ])('is not compared with what the other host does not tell: %s', (_, facts) => {
    const changes = { vcpuTids: [1], devices: [] };
    expect(explainDifferences({ ...OFFERED, cpuFeatures: [], facts }, { ...FACTS, ...changes })).toBeUndefined();
  });

  test('is refused when its CPU is told in words that are not known here', () => {
    expect(explainDifferences({ ...OFFERED, cpuFeatures: ['sse2'] }, FACTS)).toBe(
      'its CPU features cannot be read here: sse2',
    );
  });
});

import { describe, expect, test } from 'vitest';
import { buildCommandLine } from './command-line.ts';
import type { DeriveOptions } from './derivation.ts';
import { type Derived, deriveDestination } from './derive.ts';

const OPTIONS: DeriveOptions = {
  machineType: 'pc-q35-7.2',
  accel: 'kvm',
  endpoints: {
    ramPath: '/dev/shm/godwit-web-2',
    sharedPaths: new Map([
      ['shared-bus', '/dev/shm/region-2-bus'],
      ['shm0', '/dev/shm/region-2-theirs'],
    ]),
    qmpPath: '/s/2/qmp.sock',
    consoleSocketPath: '/s/2/console.sock',
    consoleLogPath: '/s/2/console.log',
  },
};
const CONSOLE = 'path=/s/2/console.sock,server=on,wait=off,logfile=/s/2/console.log,logappend=on';
const QMP = 'socket,id=godwit-qmp,path=/s/2/qmp.sock,server=on,wait=off';
const TAIL = `-chardev ${QMP} -mon chardev=godwit-qmp,mode=control -S -incoming defer`;
const RAM = '-object memory-backend-file,id=ram0,size=1G,mem-path=/dev/shm/x,share=on';
const NEW_RAM = '-object memory-backend-file,id=ram0,size=1G,mem-path=/dev/shm/godwit-web-2,share=on';
/** What every VM here has, so that a case shows only what it is about. */
const BASE = `-machine q35,memory-backend=ram0 ${RAM} -nodefaults -display none`;
const NEW_BASE = `-machine pc-q35-7.2,memory-backend=ram0 ${NEW_RAM} -nodefaults -display none`;

function derive(line: string, changes: Partial<DeriveOptions> = {}): Derived {
  return deriveDestination(line.split(' '), { ...OPTIONS, ...changes });
}

function derivedLine(line: string, changes: Partial<DeriveOptions> = {}): string {
  const derived = derive(line, changes);
  return derived.kind === 'derived' ? derived.args.join(' ') : `blocked: ${JSON.stringify(derived.blockers)}`;
}

function blockerIds(line: string): string[] {
  const derived = derive(line);
  return derived.kind === 'blocked' ? derived.blockers.map((blocker) => blocker.id) : [];
}

test('memory that the VM keeps is opened where it is, and nobody removes a name of it', () => {
  const derived = derive(BASE, { keptRam: new Map([['ram0', '/proc/7/fd/9']]) });
  expect(derived).toMatchObject({ kind: 'derived', ramFiles: [] });
  expect(derived.kind === 'derived' && derived.args.join(' ')).toContain(
    NEW_RAM.replace('/dev/shm/godwit-web-2', '/proc/7/fd/9'),
  );
});

test('on the same host the VM goes on with the files that it writes to, under a second name where they would go', () => {
  const line =
    `${BASE} -chardev file,id=a,path=/s/1/a.out -chardev null,id=b,logfile=/s/1/b.log -chardev file,id=c,path=/var/log/c` +
    ' -serial null -serial file:/s/1/x.out -serial file:log -chardev stdio,id=d';
  const derived = derive(line, { goingDirectory: '/s/1', sourceDirectory: '/home/u' });
  expect(derived).toMatchObject({
    kind: 'derived',
    linkedFiles: [
      { from: '/s/1/a.out', to: '/s/2/a.out' },
      { from: '/s/1/b.log', to: '/s/2/b.log' },
      { from: '/s/1/x.out', to: '/s/2/serial1.out' },
    ],
    notes: ['chardev d (stdio) is the unix socket /s/2/d.sock now'],
  });
  const words = derived.kind === 'derived' ? derived.args.join(' ') : '';
  for (const part of [
    '-chardev file,id=a,path=/s/2/a.out,append=on ',
    '-chardev null,id=b,logfile=/s/2/b.log,logappend=on ',
    '-chardev file,id=c,path=/var/log/c,append=on ',
    '-chardev file,id=godwit-serial1,path=/s/2/serial1.out,append=on -serial chardev:godwit-serial1 ',
    '-chardev file,id=godwit-serial2,path=/home/u/log,append=on -serial chardev:godwit-serial2 ',
  ]) {
    expect(words).toContain(part);
  }
});

test('a disk of the block server goes through that of the destination; other NBD disks stay', () => {
  const node = (path: string) =>
    `-blockdev {"driver":"nbd","node-name":"disk0","server":{"type":"unix","path":"${path}"}}`;
  const endpoints = { ...OPTIONS.endpoints, nbdSocketPath: '/s/2/nbd.sock' };
  const line = derivedLine(`${BASE} ${node('/s/1/nbd.sock')} ${node('/theirs')}`, {
    endpoints,
    sourceNbdSocket: '/s/1/nbd.sock',
  });
  expect(line).toContain(`${node('/s/2/nbd.sock')} ${node('/theirs')}`);
});

describe('the command line of a VM of our own', () => {
  const spec = {
    name: 'web',
    memoryBytes: 2 ** 30,
    vcpus: 2,
    machine: 'q35',
    cpu: 'qemu64',
    accel: 'auto',
    qemu: 'qemu-system-x86_64',
    disks: [{ path: '/shared/web.qcow2', format: 'qcow2' }],
    nics: [],
    sharedMemory: [{ name: 'bus', sizeBytes: 2 ** 20 }],
    qemuArgs: ['-device', 'virtio-rng-pci,id=rng0'],
  } as const;
  const identity = { uuid: '11111111-2222-4333-8444-555555555555', accel: 'kvm' } as const;
  const built = buildCommandLine(
    spec,
    {
      ramPath: '/dev/shm/godwit-web-1',
      sharedPaths: new Map([['shared-bus', '/dev/shm/region-1-bus']]),
      qmpPath: '/s/1/qmp.sock',
      consoleSocketPath: '/s/1/console.sock',
      consoleLogPath: '/s/1/console.log',
    },
    identity,
  );
  const expected = buildCommandLine({ ...spec, machine: 'pc-q35-7.2' }, OPTIONS.endpoints, identity);

  test('gets the endpoints of the destination, the versioned machine, and waits', () => {
    const derived = deriveDestination(built, OPTIONS);
    expect(derived).toMatchObject({ kind: 'derived', args: [...expected, '-S', '-incoming', 'defer'] });
  });

  test('can be derived again from what was derived, to go back', () => {
    const there = deriveDestination(built, OPTIONS);
    const back = deriveDestination(there.kind === 'derived' ? there.args : [], OPTIONS);
    expect(back).toEqual(there);
  });
});

test.each([
  ['nothing else', '', ''],
  ['monitors', ' -qmp unix:/a,server -monitor stdio -qmp-pretty tcp:0:4444,server', ''],
  ['a debugger port', ' -s -gdb tcp::1234', ''],
  ['a waiting start', ' -S -incoming tcp:0:4444', ''],
  ['logs and traces', ' -D /var/log/q -d guest_errors -trace enable=x', ''],
  ['preallocation', ' -mem-prealloc', ''],
  ['a locked memory', ' -overcommit mem-lock=on', ''],
  [
    'a second serial port',
    ' -serial null -serial tcp::4445,server,nowait',
    ' -serial null -serial unix:/s/2/serial1.sock,server=on,wait=off',
  ],
  ['no serial port', ' -serial none', ' -serial none'],
  ['a serial file', ' -serial null -serial file:/tmp/x', ' -serial null -serial file:/s/2/serial1.out'],
  ['a debug console', ' -debugcon stdio', ' -debugcon unix:/s/2/debugcon0.sock,server=on,wait=off'],
  ['a VNC port', ' -vnc :1,to=9', ' -vnc unix:/s/2/vnc.sock'],
  ['no VNC', ' -vnc none', ' -vnc none'],
  ['a file chardev', ' -chardev file,id=a,path=/x', ' -chardev file,id=a,path=/s/2/a.out'],
  ['a ring buffer', ' -chardev ringbuf,id=a,size=64K', ' -chardev ringbuf,id=a,size=64K'],
  ['a connecting chardev', ' -chardev socket,id=a,host=h,port=1', ' -chardev socket,id=a,host=h,port=1'],
  ['a chardev with a log', ' -chardev null,id=a,logfile=/x', ' -chardev null,id=a,logfile=/s/2/a.log'],
  ['sound', ' -audiodev pa,id=snd0,server=/run/pulse', ' -audiodev none,id=snd0'],
  ['accelerators to choose from', ' -accel kvm -accel tcg', ' -accel kvm'],
])('a VM with %s', (_, source, wanted) => {
  expect(derivedLine(`${BASE}${source}`)).toBe(`${NEW_BASE}${wanted} ${TAIL}`);
});

test('stdin and stdout become the console', () => {
  const console = `-chardev socket,id=godwit-console,${CONSOLE} -serial chardev:godwit-console`;
  expect(derivedLine(`${BASE} -serial mon:stdio`)).toBe(`${NEW_BASE} ${console} ${TAIL}`);
});

test('a multiplexed console keeps its id and stays multiplexed', () => {
  expect(derivedLine(`${BASE} -chardev stdio,id=c0,mux=on -mon chardev=c0 -serial chardev:c0`)).toBe(
    `${NEW_BASE} -chardev socket,id=c0,${CONSOLE},mux=on -serial chardev:c0 ${TAIL}`,
  );
});

test('-nographic becomes a console and no display', () => {
  const line = derivedLine(`-machine q35,memory-backend=ram0 ${RAM} -nographic`);
  expect(line).toContain('-serial chardev:godwit-console -display none -chardev');
  expect(line).not.toContain('nographic');
});

test('a window is not opened', () => {
  const line = derivedLine(`-machine q35,memory-backend=ram0 ${RAM} -nodefaults -display gtk,gl=on`);
  expect(line).toContain('-nodefaults -display none');
});

test('a VM without -machine gets its machine type by name', () => {
  expect(derivedLine(`${RAM} -numa node,memdev=ram0 -nodefaults -display none`)).toMatch(
    /^-machine pc-q35-7.2 -object/,
  );
});

test('an accelerator in -machine is the one that it runs on', () => {
  const line = derivedLine(BASE.replace('q35,', 'type=q35,accel=kvm:tcg,'), { accel: 'tcg' });
  expect(line).toContain('-machine type=pc-q35-7.2,accel=tcg,memory-backend=ram0');
});

test('every memory backend gets a file of its own', () => {
  const second = '-object memory-backend-memfd,id=ram1,size=1G,seal=on';
  const derived = derive(`${BASE} ${second}`);
  expect(derived).toMatchObject({
    ramFiles: [
      { id: 'ram0', path: '/dev/shm/godwit-web-2' },
      { id: 'ram1', path: '/dev/shm/godwit-web-2-ram1' },
    ],
  });
  expect(derivedLine(`${BASE} ${second}`)).toContain(
    '-object memory-backend-file,id=ram1,size=1G,share=on,mem-path=/dev/shm/godwit-web-2-ram1',
  );
});

test('relative paths are those of the source', () => {
  const line = derivedLine(`${BASE} -kernel ./vmlinuz -drive file=disk.img,format=raw`, { sourceDirectory: '/home/u' });
  expect(line).toContain('-kernel /home/u/vmlinuz -drive file=/home/u/disk.img,format=raw');
});

test('a VM without a serial port has no console', () => {
  expect(derive(BASE)).toMatchObject({ hasConsole: false });
  expect(derive(`${BASE} -serial stdio`)).toMatchObject({ hasConsole: true });
});

test.each([
  ['no shared RAM', '-machine q35 -m 1G', ['private-ram']],
  ['RAM by -mem-path', '-machine q35 -m 1G -mem-path /dev/shm/x', ['private-ram', 'private-ram']],
  ['a private file', `${BASE} -object memory-backend-file,id=r1,size=1G,mem-path=/x`, ['private-ram']],
  ['anonymous RAM', `${BASE} -object memory-backend-ram,id=r1,size=1G`, ['private-ram']],
  ['huge pages', `${BASE} -object memory-backend-memfd,id=r1,size=1G,hugetlb=on`, ['huge-pages']],
  ['a configuration file', `${BASE} -readconfig /x.cfg`, ['config-file']],
  ['-snapshot', `${BASE} -snapshot`, ['snapshot']],
  ['a passed descriptor', `${BASE} -add-fd set=1,fd=7`, ['passed-descriptor']],
  ['a passed network interface', `${BASE} -netdev tap,id=n0,fd=25`, ['passed-descriptor']],
  ['a tap helper', `${BASE} -netdev tap,id=n0,helper=/tmp/x`, ['network-program']],
  ['a bridge helper', `${BASE} --netdev bridge,id=n0,helper=/tmp/x`, ['network-program']],
  ['an interface script', `${BASE} -nic tap,script=/tmp/x,downscript=no`, ['network-program']],
  ['an interface script for the end', `${BASE} -net tap,script=no,downscript=/tmp/x`, ['network-program']],
  ['a JSON interface script', `${BASE} -netdev {"type":"tap","id":"n0","script":"/tmp/x"}`, ['network-program']],
  ['a script set afterwards', `${BASE} -netdev tap,id=n0 -set netdev.n0.script=/tmp/x`, ['network-program']],
  ['no scripts', `${BASE} -netdev tap,id=n0,ifname=t,script=no,downscript=`, []],
  ['a plugin', `${BASE} -plugin file=/tmp/x.so`, ['plugin']],
  ['a shared directory', `${BASE} -fsdev local,id=f,path=/,security_model=none`, ['shared-directory']],
  ['a shared directory in short', `${BASE} -virtfs local,path=/,mount_tag=t`, ['shared-directory']],
  ['a JSON network interface', `${BASE} -netdev {"type":"tap","fd":"25","id":"n0"}`, ['passed-descriptor']],
  ['a host serial port', `${BASE} -chardev serial,id=a,path=/dev/ttyS0`, ['host-character-device']],
  ['a relative path', `${BASE} -drive file=d.img`, ['relative-path']],
])('a VM with %s is blocked', (_, line, ids) => {
  expect(blockerIds(line)).toEqual(ids);
});

describe('a state directory whose sockets have too long a path', () => {
  const deep = (bytes: number): Partial<DeriveOptions> => {
    const directory = `/${'d'.repeat(bytes - '/'.length - '/console.sock'.length)}`;
    const [qmpPath, consoleSocketPath] = [`${directory}/qmp.sock`, `${directory}/console.sock`];
    return { endpoints: { ...OPTIONS.endpoints, qmpPath, consoleSocketPath } };
  };

  test('is a blocker that says how long it may be', () => {
    const derived = derive(`${BASE} -serial stdio`, deep(108));
    expect(derived).toMatchObject({ kind: 'blocked', blockers: [{ id: 'socket-path' }] });
    expect(JSON.stringify(derived)).toMatch(/has 108 bytes, and the longest allowed has 107.*shorter --state/);
  });

  test('is none at the longest length', () => {
    expect(derive(`${BASE} -serial stdio`, deep(107))).toMatchObject({ kind: 'derived' });
  });

  test('is one for every socket that is too long, once', () => {
    const sockets = '-spice port=1 -chardev stdio,id=a-chardev-with-a-long-name -chardev stdio,id=short';
    expect(derive(`${BASE} ${sockets}`, deep(107))).toMatchObject({
      blockers: [{ id: 'socket-path', what: expect.stringContaining('a-long-name.sock') }],
    });
  });
});

describe('memory shared with other VMs', () => {
  const object = (options: string): string => `-object memory-backend-file,id=shm0,size=1M,${options},share=on`;
  const THEIRS = object('mem-path=/dev/shm/theirs');
  const DEVICE = '-device ivshmem-plain,id=iv0,memdev=shm0,master=on';

  test('gets the file of this host and is not among the RAM files, wherever the device is named', () => {
    const NEW = object('mem-path=/dev/shm/region-2-theirs');
    for (const [given, wanted] of [
      [`${THEIRS} ${DEVICE}`, `${NEW} ${DEVICE}`],
      [`${DEVICE} ${THEIRS}`, `${DEVICE} ${NEW}`],
    ] as const) {
      const derived = derive(`${given} ${BASE}`);
      expect(derived).toMatchObject({
        ramFiles: [{ id: 'ram0', path: '/dev/shm/godwit-web-2' }],
        sharedFiles: [{ id: 'shm0', path: '/dev/shm/region-2-theirs' }],
      });
      expect(derivedLine(`${given} ${BASE}`)).toBe(`${wanted} ${NEW_BASE} ${TAIL}`);
    }
  });

  test('in JSON, preallocated, or in a memfd becomes the file of this host, too', () => {
    const device = '-device {"driver":"ivshmem-plain","id":"iv0","memdev":"shm0","master":"on"}';
    const memfd = '-object memory-backend-memfd,id=shm0,size=1M,share=on,prealloc=on';
    expect(derivedLine(`${memfd} ${device} ${BASE}`)).toContain(
      '-object memory-backend-file,id=shm0,size=1M,share=on,mem-path=/dev/shm/region-2-theirs -device',
    );
  });

  test('is refused where this host has no file for it: nothing of the source stays', () => {
    const { sharedPaths: _none, ...endpoints } = OPTIONS.endpoints;
    for (const changes of [{ endpoints }, { endpoints: { ...endpoints, sharedPaths: new Map([['ram0', '/x']]) } }]) {
      expect(derive(`${THEIRS} ${DEVICE} ${BASE}`, changes)).toMatchObject({
        kind: 'blocked',
        blockers: [{ id: 'shared-memory', what: 'shm0', fix: expect.stringContaining('godwit group migrate') }],
      });
    }
  });

  test('that only this QEMU has is refused', () => {
    expect(blockerIds(`-object memory-backend-ram,id=shm0,size=1M,share=on ${DEVICE} ${BASE}`)).toEqual([
      'ivshmem-private',
    ]);
  });

  test('that is RAM of the VM by another name cannot keep its path', () => {
    expect(blockerIds(`${BASE} -device ivshmem-plain,memdev=ram0`)).toEqual(['shared-memory', 'private-ram']);
  });
});

import { describe, expect, test } from 'vitest';
import { buildCommandLine } from './command-line.ts';
import type { DeriveOptions } from './derivation.ts';
import { type Derived, deriveDestination } from './derive.ts';

const OPTIONS: DeriveOptions = {
  machineType: 'pc-q35-7.2',
  accel: 'kvm',
  endpoints: {
    ramPath: '/dev/shm/godwit-web-2',
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
    qemuArgs: ['-device', 'virtio-rng-pci,id=rng0'],
  } as const;
  const identity = { uuid: '11111111-2222-4333-8444-555555555555', accel: 'kvm' } as const;
  const built = buildCommandLine(
    spec,
    {
      ramPath: '/dev/shm/godwit-web-1',
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

describe('a libvirt VM', () => {
  const libvirt = [
    ...['-name', 'guest=web,debug-threads=on', '-S'],
    ...[
      '-object',
      '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/domain-1-web/master-key.aes"}',
    ],
    ...['-machine', 'pc-q35-7.2,usb=off,vmport=off,dump-guest-core=off,memory-backend=pc.ram', '-accel', 'kvm'],
    ...['-cpu', 'Cascadelake-Server-noTSX,vmx=on', '-m', '4096'],
    ...[
      '-object',
      '{"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"x-use-canonical-path-for-ramblock-id":false,"size":4294967296}',
    ],
    ...[
      '-overcommit',
      'mem-lock=off',
      '-smp',
      '2,sockets=2,cores=1,threads=1',
      '-uuid',
      '7c8e5b0c-0000-4000-8000-000000000001',
    ],
    ...['-display', 'none', '-no-user-config', '-nodefaults'],
    ...[
      '-chardev',
      'socket,id=charmonitor,fd=32,server=on,wait=off',
      '-mon',
      'chardev=charmonitor,id=monitor,mode=control',
    ],
    ...[
      '-rtc',
      'base=utc,driftfix=slew',
      '-global',
      'kvm-pit.lost_tick_policy=delay',
      '-no-shutdown',
      '-boot',
      'strict=on',
    ],
    ...[
      '-device',
      '{"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0","multifunction":true,"addr":"0x2"}',
    ],
    ...[
      '-blockdev',
      '{"driver":"file","filename":"/mnt/nfs/web.qcow2","node-name":"libvirt-1-storage","auto-read-only":true,"discard":"unmap"}',
    ],
    ...['-blockdev', '{"node-name":"libvirt-1-format","read-only":false,"driver":"qcow2","file":"libvirt-1-storage"}'],
    ...[
      '-device',
      '{"driver":"virtio-blk-pci","bus":"pci.1","addr":"0x0","drive":"libvirt-1-format","id":"virtio-disk0","bootindex":1}',
    ],
    ...[
      '-chardev',
      'pty,id=charserial0',
      '-device',
      '{"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0}',
    ],
    ...['-chardev', 'socket,id=charchannel0,fd=34,server=on,wait=off'],
    ...[
      '-device',
      '{"driver":"virtserialport","bus":"virtio-serial0.0","nr":1,"chardev":"charchannel0","id":"channel0","name":"org.qemu.guest_agent.0"}',
    ],
    ...['-audiodev', '{"id":"audio1","driver":"spice"}'],
    ...['-spice', 'port=5900,addr=127.0.0.1,disable-ticketing=on,image-compression=off,seamless-migration=on'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny', '-msg', 'timestamp=on'],
  ];
  const derived = deriveDestination(libvirt, OPTIONS);
  const args = derived.kind === 'derived' ? derived.args : [];

  test('loses the monitor whose descriptor libvirt passed', () => {
    expect(args.join(' ')).not.toContain('charmonitor');
    expect(args.join(' ')).not.toContain('fd=');
  });

  test('gets its memfd as a file with the same id', () => {
    expect(args).toContain(
      '{"qom-type":"memory-backend-file","id":"pc.ram","share":true,"x-use-canonical-path-for-ramblock-id":false,' +
        '"size":4294967296,"mem-path":"/dev/shm/godwit-web-2"}',
    );
  });

  test('gets its console and its agent channel on sockets of the destination', () => {
    expect(args).toContain(`socket,id=charserial0,${CONSOLE}`);
    expect(args).toContain('socket,id=charchannel0,path=/s/2/charchannel0.sock,server=on,wait=off');
  });

  test('gets SPICE on a unix socket and no sound', () => {
    expect(args).toContain(
      'disable-ticketing=on,image-compression=off,seamless-migration=on,unix=on,addr=/s/2/spice.sock',
    );
    expect(args).toContain('none,id=audio1');
  });

  test('keeps its devices, word for word and in order', () => {
    const devices = (words: readonly string[]): string[] => words.filter((_, at) => words[at - 1] === '-device');
    expect(devices(args)).toEqual(devices(libvirt));
  });

  test('waits for its state, with one -S', () => {
    expect(args.slice(-3)).toEqual(['-S', '-incoming', 'defer']);
    expect(args.filter((word) => word === '-S')).toHaveLength(1);
  });
});

describe('a Proxmox VM', () => {
  const proxmox = [
    ...['-id', '100', '-name', 'web,debug-threads=on', '-no-shutdown'],
    ...[
      '-chardev',
      'socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off',
      '-mon',
      'chardev=qmp,mode=control',
    ],
    ...[
      '-chardev',
      'socket,id=qmp-event,path=/var/run/qmeventd.sock,reconnect=5',
      '-mon',
      'chardev=qmp-event,mode=control',
    ],
    ...['-pidfile', '/var/run/qemu-server/100.pid', '-daemonize'],
    ...['-smbios', 'type=1,uuid=7c8e5b0c-0000-4000-8000-000000000002', '-smp', '2,sockets=1,cores=2,maxcpus=2'],
    ...['-nodefaults', '-boot', 'menu=on,strict=on,reboot-timeout=1000,splash=/usr/share/qemu-server/bootsplash.jpg'],
    ...['-vnc', 'unix:/var/run/qemu-server/100.vnc,password=on', '-cpu', 'kvm64,enforce,+kvm_pv_eoi', '-m', '2048'],
    ...['-object', 'memory-backend-file,id=ram-node0,size=2048M,mem-path=/run/pve/ram,share=on,prealloc=yes'],
    ...['-numa', 'node,nodeid=0,cpus=0-1,memdev=ram-node0'],
    ...['-device', 'pci-bridge,id=pci.1,chassis_nr=1,bus=pci.0,addr=0x1e', '-device', 'VGA,id=vga,bus=pci.0,addr=0x2'],
    ...['-chardev', 'socket,path=/var/run/qemu-server/100.qga,server=on,wait=off,id=qga0'],
    ...[
      '-device',
      'virtio-serial,id=qga0,bus=pci.0,addr=0x8',
      '-device',
      'virtserialport,chardev=qga0,name=org.qemu.guest_agent.0',
    ],
    ...[
      '-chardev',
      'socket,id=serial0,path=/var/run/qemu-server/100.serial0,server=on,wait=off',
      '-device',
      'isa-serial,chardev=serial0',
    ],
    ...[
      '-drive',
      'file=/dev/pve/vm-100-disk-0,if=none,id=drive-scsi0,format=raw,cache=none,aio=io_uring,detect-zeroes=on',
    ],
    ...['-netdev', 'type=tap,id=net0,ifname=tap100i0,script=no,downscript=no'],
    ...['-machine', 'type=pc+pve0', '-enable-kvm'],
  ];
  const derived = deriveDestination(proxmox, { ...OPTIONS, machineType: 'pc-i440fx-7.2' });
  const line = derived.kind === 'derived' ? derived.args.join(' ') : '';

  test('loses monitors, pid file and its own way into the background', () => {
    expect(line).not.toMatch(/qmp-event|qemu-server\/100\.(qmp|pid)|daemonize|pidfile/);
  });

  test('gets its memory unpopulated, its VNC, console and agent on sockets of the destination', () => {
    expect(line).toContain(
      '-object memory-backend-file,id=ram-node0,size=2048M,mem-path=/dev/shm/godwit-web-2,share=on ',
    );
    expect(line).toContain('-vnc unix:/s/2/vnc.sock,password=on ');
    expect(line).toContain(`-chardev socket,id=serial0,${CONSOLE} `);
    expect(line).toContain('-chardev socket,id=qga0,path=/s/2/qga0.sock,server=on,wait=off ');
  });

  test('runs on the machine type that the alias stands for', () => {
    expect(line).toContain('-machine type=pc-i440fx-7.2 ');
  });

  test('keeps disks, network and the rest', () => {
    expect(line).toContain('-drive file=/dev/pve/vm-100-disk-0,if=none,id=drive-scsi0,format=raw,cache=none,');
    expect(line).toContain('ifname=tap100i0,script=no,');
    expect(line).toContain('-enable-kvm');
  });

  test('is blocked with the scripts that Proxmox gives its interfaces', () => {
    const scripts = 'script=/var/lib/qemu-server/pve-bridge,downscript=/var/lib/qemu-server/pve-bridgedown';
    const words = proxmox.map((word) => word.replace('script=no,downscript=no', scripts));
    expect(deriveDestination(words, OPTIONS)).toMatchObject({
      kind: 'blocked',
      blockers: [{ id: 'network-program', what: '-netdev net0' }],
    });
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

/** Command lines of VMs that others started, as their tools write them. */
import { describe, expect, test } from 'vitest';
import type { DeriveOptions } from './derivation.ts';
import { deriveDestination } from './derive.ts';

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

  test('is blocked with the scripts that Proxmox gives its interfaces, unless the destination allows them', () => {
    const [up, down] = ['/var/lib/qemu-server/pve-bridge', '/var/lib/qemu-server/pve-bridgedown'];
    const scripts = `script=${up},downscript=${down}`;
    const words = proxmox.map((word) => word.replace('script=no,downscript=no', scripts));
    expect(deriveDestination(words, OPTIONS)).toMatchObject({
      kind: 'blocked',
      blockers: [{ id: 'network-program', what: '-netdev net0', fix: expect.stringContaining(`${up} and ${down}`) }],
    });
    const allowed = deriveDestination(words, { ...OPTIONS, allowedNetworkScripts: [up, down] });
    expect(allowed.kind === 'derived' && allowed.args).toContain(`type=tap,id=net0,ifname=tap100i0,${scripts}`);
  });
});

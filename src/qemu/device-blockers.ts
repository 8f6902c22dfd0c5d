/**
 * Devices that cannot be moved: those whose state is not in QEMU, those that write guest memory through a mapping of
 * their own (no write-protection of QEMU's mapping sees that), and those that came after the start.
 *
 * Must hold: looks at three sources, since each alone can be fooled: QEMU's device tree, the command line, and the
 * descriptors that QEMU holds.
 */
import { type Argument, readOptions } from './arguments.ts';
import type { Blocker } from './blocker.ts';
import type { VmFacts } from './facts.ts';

interface DeviceRule {
  readonly id: string;
  /** Of the device type. */
  readonly pattern: RegExp;
  readonly reason: string;
  readonly fix: string;
}

const OUTSIDE_WRITER = 'it writes guest memory through a mapping of its own, which cannot be tracked';

/** The first rule that fits counts. */
const DEVICE_RULES: readonly DeviceRule[] = [
  {
    id: 'vfio',
    pattern: /^vfio-/,
    reason: 'a device of the host is passed through',
    fix: 'unplug it (device_del) before the migration and plug it again after it',
  },
  {
    id: 'virtiofs',
    pattern: /^vhost-user-fs/,
    reason: 'the shared directory is served by a process of the source host (virtiofsd)',
    fix: 'unmount it in the guest and unplug the device (device_del)',
  },
  {
    id: 'vhost-user',
    pattern: /^vhost-user-/,
    reason: OUTSIDE_WRITER,
    fix: 'use the device of the same name without vhost-user, or unplug it (device_del)',
  },
  {
    id: 'vhost',
    pattern: /^(vhost-|virtio-.*vdpa)/,
    reason: OUTSIDE_WRITER,
    fix: 'use a device that QEMU emulates itself, or unplug it (device_del)',
  },
  {
    // Of ivshmem-plain the memory decides (ram-blockers.ts).
    id: 'ivshmem-doorbell',
    pattern: /^ivshmem(-doorbell)?$/,
    reason: 'its interrupts go through a server process of the source host (ivshmem-server)',
    fix: 'use ivshmem-plain with master=on, or unplug it (device_del)',
  },
  {
    id: 'scsi-passthrough',
    pattern: /^scsi-(generic|block)$/,
    reason: 'its commands go to a device of the host (SG_IO), which writes guest memory past every page table',
    fix: 'use scsi-hd, or unplug it (device_del)',
  },
  {
    id: 'usb-host',
    pattern: /^usb-host$/,
    reason: 'a USB device of the host is passed through',
    fix: 'unplug it (device_del) before the migration and plug it again after it',
  },
  {
    id: 'persistent-memory',
    pattern: /^(nvdimm|virtio-pmem|cxl-)/,
    reason: 'its memory is a file of the source host that must be kept',
    fix: 'use a disk instead',
  },
  {
    id: 'virtio-mem',
    pattern: /^virtio-mem/,
    reason: 'memory of changing size is not supported yet',
    fix: 'use -m with the full size',
  },
  {
    id: 'host-input',
    pattern: /^virtio-input-host/,
    reason: 'an input device of the host is passed through',
    fix: 'use virtio-keyboard, virtio-mouse or virtio-tablet',
  },
  {
    id: 'tpm',
    pattern: /^tpm-/,
    reason: 'the state of the TPM is kept by a process of the source host',
    fix: 'start the VM without -tpmdev',
  },
];

/** Descriptors that only such devices hold. */
const DESCRIPTOR_RULES: readonly DeviceRule[] = [
  { ...ruleOf('vfio'), pattern: /^\/dev\/vfio\// },
  { ...ruleOf('vhost'), pattern: /^\/dev\/vhost-/, fix: 'use vhost=off (libvirt: <driver name="qemu"/>)' },
  { ...ruleOf('usb-host'), pattern: /^\/dev\/bus\/usb\// },
];

export function findDeviceBlockers(facts: VmFacts, args: readonly Argument[], openPaths: readonly string[]): Blocker[] {
  const byType = facts.devices.flatMap(({ id, type }): Blocker[] => {
    const rule = DEVICE_RULES.find(({ pattern }) => pattern.test(type));
    return rule === undefined ? [] : [{ id: rule.id, what: id || type, reason: rule.reason, fix: rule.fix }];
  });
  const byDescriptor = DESCRIPTOR_RULES.flatMap(({ id, pattern, reason, fix }): Blocker[] => {
    const path = openPaths.find((open) => pattern.test(open));
    const known = byType.some((blocker) => blocker.id === id);
    return path === undefined || known ? [] : [{ id, what: path, reason, fix }];
  });
  // With devices in a file (a blocker of its own) nobody can tell which ones came later.
  const complete = !args.some(({ option }) => option === 'readconfig');
  const plugged = complete ? findHotPlugged(facts, args) : [];
  return [...byType, ...findArgumentBlockers(args), ...byDescriptor, ...plugged];
}

function findArgumentBlockers(args: readonly Argument[]): Blocker[] {
  return args.flatMap((argument): Blocker[] => {
    const options = readOptions(argument);
    const what = `-${argument.option} ${options.get('id') ?? options.get('type') ?? ''}`.trim();
    switch (argument.option) {
      case 'netdev':
      case 'nic':
      case 'net':
        return findNetworkBlockers(
          options.get('type') ?? '',
          options.isOn('vhost') || options.isOn('vhostforce'),
          what,
        );
      case 'tpmdev':
        return [blockerOf('tpm', what)];
      case 'machine':
      case 'M':
        return options.get('confidential-guest-support') === undefined ? [] : [encrypted(what)];
      case 'object':
        return /^(sev|tdx)-/.test(options.get('qom-type') ?? '') ? [encrypted(what)] : [];
      default:
        return [];
    }
  });
}

function findNetworkBlockers(type: string, vhost: boolean, what: string): Blocker[] {
  if (type === 'vhost-user') return [blockerOf('vhost-user', what)];
  if (type === 'vhost-vdpa') return [blockerOf('vhost', what)];
  if (!vhost) return [];
  return [{ ...blockerOf('vhost', what), fix: 'use vhost=off (libvirt: <driver name="qemu"/>)' }];
}

/** Devices that the destination would not get, or would get although they are gone. */
function findHotPlugged(facts: VmFacts, args: readonly Argument[]): Blocker[] {
  const given = args
    .filter(({ option }) => option === 'device')
    .flatMap((argument) => readOptions(argument).get('id') ?? []);
  const present = facts.devices.flatMap(({ id }) => (id === '' ? [] : [id]));
  return [
    ...present
      .filter((id) => !given.includes(id))
      .map((id) => ({
        id: 'hot-plugged',
        what: id,
        reason: 'it was plugged in after the start, so it is not on the command line',
        fix: 'unplug it (device_del) before the migration and plug it again after it',
      })),
    ...given
      .filter((id) => !present.includes(id))
      .map((id) => ({
        id: 'unplugged',
        what: id,
        reason: 'it is on the command line but was unplugged since',
        fix: 'plug it in again (device_add), or restart the VM without it',
      })),
  ];
}

function encrypted(what: string): Blocker {
  return {
    id: 'encrypted-memory',
    what,
    reason: 'the guest memory is encrypted (SEV or TDX)',
    fix: 'start the VM without -machine confidential-guest-support',
  };
}

function blockerOf(id: string, what: string): Blocker {
  const { reason, fix } = ruleOf(id);
  return { id, what, reason, fix };
}

function ruleOf(id: string): DeviceRule {
  const rule = DEVICE_RULES.find((candidate) => candidate.id === id);
  if (rule === undefined) throw new RangeError(`no device rule ${id}`);
  return rule;
}

/**
 * What of a VM keeps its QEMU from being replaced while it runs, beside what keeps it from being migrated.
 *
 * Must hold: what the old QEMU holds and only one process can have is found before anything is started.
 */
import type { Surroundings } from '../linux/surroundings.ts';
import { type Argument, parseArguments, readOptions } from '../qemu/arguments.ts';
import type { Blocker } from '../qemu/blocker.ts';

/** Blockers of migrations that concern two hosts: both QEMUs of one host have the same page cache. */
const OF_TWO_HOSTS: ReadonlySet<string> = new Set(['unsafe-cache']);

const RESTART_FIX = 'stop the VM and start it again: then it has the new QEMU';

export interface UpgradeQuestion {
  /** Of the old QEMU, without the binary. */
  readonly args: readonly string[];
  /** Its taps that godwit made: the new QEMU gets others. */
  readonly ownTaps: ReadonlySet<string>;
  /** What would keep it from moving to another host. */
  readonly blockers: readonly Blocker[];
  readonly hasBlockServer: boolean;
}

export function findUpgradeBlockers({ args, ownTaps, blockers, hasBlockServer }: UpgradeQuestion): Blocker[] {
  const parsed = parseArguments(args);
  return [
    ...blockers.filter(({ id }) => !OF_TWO_HOSTS.has(id)),
    ...(hasBlockServer ? [BLOCK_SERVER] : []),
    ...parsed.flatMap((argument) => findHeld(argument, ownTaps)),
  ];
}

export interface SurroundingQuestion {
  /** Of the old QEMU, without the binary. */
  readonly args: readonly string[];
  readonly old: Surroundings;
  /** Of the daemon, which starts the new one: it may do what the daemon may, where the daemon is. */
  readonly ours: Surroundings;
  /** Somebody else started it. What godwit starts is where its daemon was then, and may go where that is now. */
  readonly adopted: boolean;
}

export function findSurroundingBlockers({ args, old, ours, adopted }: SurroundingQuestion): Blocker[] {
  const what = 'QEMU';
  const found: Blocker[] = [];
  // One that was told to become another user is told so again.
  const becomesUser = parseArguments(args).some(({ option }) => option === 'runas' || option === 'run-with');
  if (!becomesUser && (old.uid !== ours.uid || old.gid !== ours.gid)) {
    const reason = `it runs as user ${old.uid}:${old.gid}, and the new one would as ${ours.uid}:${ours.gid}, as the daemon does`;
    found.push({ id: 'other-user', what, reason, fix: `${RESTART_FIX}, or start the daemon as that user` });
  }
  if (!adopted) return found;
  const places = old.namespaces.filter((namespace) => !ours.namespaces.includes(namespace));
  if (places.length > 0) {
    const reason = `it runs in namespaces of its own (${places.join(', ')}), and the new one would in those of the daemon`;
    found.push({ id: 'other-namespaces', what, reason, fix: `${RESTART_FIX}, or start the daemon in them` });
  }
  if (old.cgroups !== ours.cgroups) {
    const reason = 'it runs in another control group, whose limits the new one would not have';
    found.push({ id: 'other-cgroup', what, reason, fix: `${RESTART_FIX}, or move it into the daemon's` });
  }
  return found;
}

const BLOCK_SERVER: Blocker = {
  id: 'block-server',
  what: 'disks',
  reason: 'its block server serves one QEMU only',
  fix: 'move the VM to another host and back, or stop it and start it again',
};

function findHeld(argument: Argument, ownTaps: ReadonlySet<string>): Blocker[] {
  const { option, value } = argument;
  if (option === 'device' && readOptions(argument).get('driver') === 'loader') {
    const reason = 'it writes into guest memory when QEMU starts';
    return [{ id: 'loader', what: `-device ${value}`, reason, fix: RESTART_FIX }];
  }
  if (!['netdev', 'nic', 'net'].includes(option)) return [];
  const options = readOptions(argument);
  const what = `-${option} ${options.get('id') ?? options.get('type') ?? ''}`;
  if (options.get('hostfwd') !== undefined) {
    const reason = `the old QEMU holds the port that it forwards (hostfwd=${options.get('hostfwd')})`;
    return [{ id: 'port-forwarding', what, reason, fix: RESTART_FIX }];
  }
  const tap = options.get('ifname');
  if (tap === undefined || ownTaps.has(tap)) return [];
  const reason = `the old QEMU holds the interface ${tap}`;
  return [{ id: 'held-interface', what, reason, fix: `${RESTART_FIX}, or give it an interface in a bridge (nics)` }];
}

/**
 * Two hosts on one machine: two network namespaces joined by a veth pair, with or without a limit on its rate.
 *
 * Owns: the namespaces, which carry this process's id in their names. Must hold: whatever way the bench ends, the next
 * one removes namespaces whose bench is no more, and ends what still runs in them. Must never: use `ip netns exec`, which mounts another
 * /sys and so hides the control groups; `nsenter --net` enters the network alone.
 */
import { readdirSync } from 'node:fs';
import { identifyProcess } from '../src/linux/process.ts';
import { killQemu } from '../src/qemu/process.ts';
import { run } from './command.ts';

export type Side = 'source' | 'destination';

export interface Link {
  readonly name: string;
  /** Bits a second; undefined: as fast as the machine can. */
  readonly bitsPerSecond?: number;
}

export const GIGABIT: Link = { name: '1gbit', bitsPerSecond: 1e9 };
/** A link between sites, or a card that many share. */
export const SLOW: Link = { name: '200mbit', bitsPerSecond: 200e6 };
export const UNSHAPED: Link = { name: 'unshaped' };

export const ADDRESSES: Record<Side, string> = { source: '10.99.0.1', destination: '10.99.0.2' };

const SIDES: readonly Side[] = ['source', 'destination'];
const PREFIX = 'gwbench';
const INTERFACE = 'wire0';
/** The burst lets a packet of the largest size that the kernel hands on in one piece (64 KiB) through. */
const BURST_BYTES = 131_072;
/** As much queue as a 1 Gbit/s card with 1000 packets of 1500 bytes has. */
const QUEUE_MS = 12;

export class NetworkPair implements AsyncDisposable {
  #link = UNSHAPED;

  static async create(): Promise<NetworkPair> {
    await removeStale();
    const pair = new NetworkPair();
    try {
      for (const side of SIDES) await run('ip', 'netns', 'add', namespaceOf(side));
      const [source, destination] = [namespaceOf('source'), namespaceOf('destination')];
      await run(
        'ip',
        ...['link', 'add', INTERFACE, 'netns', source, 'type', 'veth', 'peer', 'name', INTERFACE, 'netns', destination],
      );
      for (const side of SIDES) {
        await inside(side, 'addr', 'add', `${ADDRESSES[side]}/30`, 'dev', INTERFACE);
        await inside(side, 'link', 'set', 'lo', 'up');
        await inside(side, 'link', 'set', INTERFACE, 'up');
      }
      return pair;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Limits both directions. */
  async use(link: Link): Promise<void> {
    if (link === this.#link) return;
    for (const side of SIDES) {
      if (this.#link.bitsPerSecond !== undefined) await shape(side, 'del');
      if (link.bitsPerSecond === undefined) continue;
      const limits = ['rate', `${link.bitsPerSecond}bit`, 'burst', `${BURST_BYTES}b`, 'latency', `${QUEUE_MS}ms`];
      await shape(side, 'add', 'tbf', ...limits);
    }
    this.#link = link;
  }

  /** Bytes on the wire so far, both directions, by the interface's own counters. */
  async wireBytes(): Promise<number> {
    const json = await inside('source', '-s', '-j', 'link', 'show', INTERFACE);
    const [{ stats64 }] = JSON.parse(json) as [{ stats64: { rx: { bytes: number }; tx: { bytes: number } } }];
    return stats64.rx.bytes + stats64.tx.bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const side of SIDES) if (namespaces().includes(namespaceOf(side))) await remove(namespaceOf(side));
  }
}

/** A program and its arguments, to be run in a side's namespace, in the same process. */
export function enter(side: Side, program: string, args: readonly string[]): [string, string[]] {
  return ['nsenter', [`--net=/run/netns/${namespaceOf(side)}`, '--', program, ...args]];
}

function namespaceOf(side: Side): string {
  return `${PREFIX}-${process.pid}-${side}`;
}

function inside(side: Side, ...args: string[]): Promise<string> {
  return run('ip', '-n', namespaceOf(side), ...args);
}

function shape(side: Side, action: string, ...rest: string[]): Promise<string> {
  const [program, args] = enter(side, 'tc', ['qdisc', action, 'dev', INTERFACE, 'root', ...rest]);
  return run(program, ...args);
}

async function removeStale(): Promise<void> {
  for (const name of namespaces()) {
    const owner = new RegExp(`^${PREFIX}-(\\d+)-`).exec(name)?.[1];
    if (owner !== undefined && !isRunning(Number(owner))) await remove(name);
  }
}

/** With all processes in it: nothing but the bench starts any there. */
async function remove(namespace: string): Promise<void> {
  for (const pid of (await run('ip', 'netns', 'pids', namespace)).split('\n').filter((line) => line !== '')) {
    const identity = identifyProcess(Number(pid));
    if (identity !== undefined) await killQemu(identity);
  }
  await run('ip', 'netns', 'del', namespace);
}

function namespaces(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return []; // nobody has made one since the machine started
  }
}

function isRunning(pid: number): boolean {
  return pid === process.pid || readdirSync('/proc').includes(String(pid));
}

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BalancedHost, type BalancedVm, type BalanceQuestion, balance, DEFAULT_BALANCE } from './balance.ts';

const GIB = 2 ** 30;

const host = (name: string, cpuPart: number | null, more: Partial<BalancedHost> = {}): BalancedHost => ({
  name,
  cpus: 10,
  memoryBytes: 100 * GIB,
  cpuPart,
  memoryPart: 0.3,
  freeBytes: 60 * GIB,
  takesVms: true,
  wasBusy: false,
  balancedAtMs: null,
  ...more,
});

const vm = (name: string, at: string, cpus: number | null, more: Partial<BalancedVm> = {}): BalancedVm => ({
  name,
  host: at,
  cpus,
  dataBytes: GIB,
  ramBytes: 2 * GIB,
  isMovable: true,
  ...more,
});

const ask = (hosts: BalancedHost[], vms: BalancedVm[], more: Partial<BalanceQuestion> = {}) =>
  balance({ nowMs: 1e9, hosts, vms, policy: DEFAULT_BALANCE, newHost: null, ...more });
const moved = (hosts: BalancedHost[], vms: BalancedVm[], more: Partial<BalanceQuestion> = {}) =>
  ask(hosts, vms, more).moves.map(({ vm: name, from, to }) => `${name} ${from} ${to}`);

describe('balance', () => {
  test('the VM goes whose leaving helps most, to where there is most room', () => {
    const vms = [vm('small', 'a', 0.5), vm('big', 'a', 3), vm('other', 'b', 1)];
    expect(moved([host('a', 0.9), host('b', 0.5), host('c', 0.1)], vms)).toEqual(['big a c']);
  });

  test('of equal ones the one with the least to copy', () => {
    const vms = [vm('x', 'a', 3, { dataBytes: 9 * GIB }), vm('y', 'a', 3, { dataBytes: GIB })];
    expect(moved([host('a', 0.9), host('b', 0.1)], vms)).toEqual(['y a b']);
  });

  test.each<[string, BalancedHost[], BalancedVm[], Partial<BalanceQuestion>]>([
    ['no host is busy', [host('a', 0.79), host('b', 0.1)], [vm('x', 'a', 3)], {}],
    ['a host is marked or takes none', [host('a', 0.9), host('b', 0.1, { takesVms: false })], [vm('x', 'a', 3)], {}],
    ['it has just been balanced', [host('a', 0.9, { balancedAtMs: 1e9 - 1 }), host('b', 0.1)], [vm('x', 'a', 3)], {}],
    [
      'the other one has just got a VM',
      [host('a', 0.9), host('b', 0.1, { balancedAtMs: 1e9 - 1 })],
      [vm('x', 'a', 3)],
      {},
    ],
    ['the VM must stay', [host('a', 0.9), host('b', 0.1)], [vm('x', 'a', 3, { isMovable: false })], {}],
    ['there is no room', [host('a', 0.9), host('b', 0.1, { freeBytes: GIB })], [vm('x', 'a', 3)], {}],
    ['the other would be nearly busy', [host('a', 0.9), host('b', 0.45)], [vm('x', 'a', 3)], {}],
    ['it would help too little', [host('a', 0.9), host('b', 0.1)], [vm('x', 'a', 0.5)], {}],
    ['nobody knows how busy it is', [host('a', null), host('b', 0.1)], [vm('x', 'a', 3)], {}],
  ])('nothing is moved when %s', (_why, hosts, vms, more) => {
    expect(moved(hosts, vms, more)).toEqual([]);
  });

  test('memory counts as CPUs do', () => {
    const full = host('a', 0.1, { memoryPart: 0.95 });
    const vms = [vm('x', 'a', 0, { dataBytes: 20 * GIB, ramBytes: 20 * GIB })];
    expect(moved([full, host('b', 0.1)], vms)).toEqual(['x a b']);
  });

  test('a busy host stays one until it is calm', () => {
    const at = (wasBusy: boolean) => ask([host('a', 0.75, { wasBusy }), host('b', 0.1)], []).hosts[0]!.verdict;
    expect([at(false), at(true)]).toEqual(['between', 'busy']);
    expect(ask([host('a', 0.6, { wasBusy: true })], []).hosts[0]!.verdict).toBe('calm');
  });

  test('a new host gets VMs of those that are busier, as long as that helps', () => {
    const vms = [1, 2, 3, 4].map((number) => vm(`x${number}`, 'a', 1.5));
    const hosts = [host('a', 0.6), host('new', 0)];
    expect(moved(hosts, vms)).toEqual([]);
    expect(moved(hosts, vms, { newHost: 'new' })).toEqual(['x1 a new', 'x2 a new']);
  });

  const anyHost = fc.record({
    cpu: fc.double({ min: 0, max: 1, noNaN: true }),
    memory: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  const anyVm = fc.record({
    at: fc.nat(4),
    cpus: fc.double({ min: 0, max: 8, noNaN: true }),
    gib: fc.integer({ min: 1, max: 40 }),
  });

  test('whatever there is: the highest load never rises, no VM is moved twice, and the next look moves nothing back', () => {
    fc.assert(
      fc.property(
        fc.array(anyHost, { minLength: 1, maxLength: 5 }),
        fc.array(anyVm, { maxLength: 20 }),
        fc.boolean(),
        (parts, drawn, isNew) => {
          const hosts = parts.map(({ cpu, memory }, index) =>
            host(`h${index}`, cpu, { memoryPart: memory, freeBytes: (1 - memory) * 100 * GIB }),
          );
          const vms = drawn.map(({ at, cpus, gib }, index) =>
            vm(`v${index}`, `h${at % hosts.length}`, cpus, { dataBytes: gib * GIB, ramBytes: gib * GIB }),
          );
          const newHost = isNew ? 'h0' : null;
          const { moves, hosts: judged } = ask(hosts, vms, { newHost });
          expect(new Set(moves.map((move) => move.vm)).size).toBe(moves.length);
          const highest = Math.max(...judged.map(({ load }) => load!));
          for (const { loadAfter, from, to } of moves) {
            expect(loadAfter).toBeLessThanOrEqual(highest);
            expect(from).not.toBe(to);
          }
          const after = hosts.map((each) => {
            const [came, left] = [
              moves.filter(({ to }) => to === each.name),
              moves.filter(({ from }) => from === each.name),
            ];
            const sum = (list: typeof moves, of: (known: BalancedVm) => number): number =>
              list.reduce((total, move) => total + of(vms.find(({ name }) => name === move.vm)!), 0);
            const shift = (of: (known: BalancedVm) => number): number => sum(came, of) - sum(left, of);
            return {
              ...each,
              cpuPart: Math.max(0, each.cpuPart! + shift(({ cpus }) => cpus!) / 10),
              memoryPart: Math.max(0, each.memoryPart! + shift(({ dataBytes }) => dataBytes) / (100 * GIB)),
              freeBytes: each.freeBytes - shift(({ ramBytes }) => ramBytes),
            };
          });
          const moveBack = ask(
            after,
            vms.map((each) => ({ ...each, host: moves.find((move) => move.vm === each.name)?.to ?? each.host })),
          );
          for (const { vm: name } of moveBack.moves) expect(moves.map((move) => move.vm)).not.toContain(name);
        },
      ),
    );
  });
});

/** The fleets that plans are compared on: sizes, hosts and images. */
import type { FleetHost } from '../src/fleet/fleet-state.ts';
import type { FleetSpec } from '../src/fleet/synthetic-fleet.ts';

const GIBIBYTE = 2 ** 30;
const GIGABIT = 1e9 / 8;

interface NamedFleet {
  readonly name: string;
  readonly spec: Omit<FleetSpec, 'seed'>;
}

export const FLEETS: readonly NamedFleet[] = [
  {
    name: '8 VMs of 256 MiB, one image, one host to another at 1 Gbit/s',
    spec: {
      vmCount: 8,
      images: 1,
      ramBytes: GIBIBYTE / 4,
      imagePart: 0.8,
      hosts: [hostOf('a', 8, 1, false), hostOf('b', 8, 1, true)],
      on: ['a'],
      linkBytesPerSecond: 0.94 * GIGABIT,
      periodMs: [12_000, 30_000],
      sampleMs: 1_500,
    },
  },
  {
    name: '60 VMs of 4 GiB, four images, a host with 25 Gbit/s to three with 10 Gbit/s',
    spec: {
      vmCount: 60,
      images: 4,
      ramBytes: 4 * GIBIBYTE,
      imagePart: 0.6,
      hosts: [hostOf('a', 256, 25, false), ...['b', 'c', 'd'].map((name) => hostOf(name, 120, 10, true))],
      on: ['a'],
      linkBytesPerSecond: 9.4 * GIGABIT,
      periodMs: [60_000, 180_000],
      sampleMs: 8_000,
    },
  },
  {
    name: '120 VMs of 4 GiB, eight images, two hosts to three, all with 10 Gbit/s',
    spec: {
      vmCount: 120,
      images: 8,
      ramBytes: 4 * GIBIBYTE,
      imagePart: 0.6,
      hosts: [
        ...['a', 'b'].map((name) => hostOf(name, 256, 10, false)),
        ...['c', 'd', 'e'].map((name) => hostOf(name, 200, 10, true)),
      ],
      on: ['a', 'b'],
      linkBytesPerSecond: 9.4 * GIGABIT,
      periodMs: [60_000, 180_000],
      sampleMs: 8_000,
    },
  },
];

function hostOf(name: string, gibibytes: number, gigabits: number, takesVms: boolean): FleetHost {
  const bytesPerSecond = gigabits * GIGABIT;
  return {
    name,
    memoryBytes: gibibytes * GIBIBYTE,
    sendBytesPerSecond: bytesPerSecond,
    receiveBytesPerSecond: bytesPerSecond,
    takesVms,
  };
}

/**
 * Who may send how fast: the bandwidth of hosts and links, less what is reserved (B5).
 *
 * Owns: what is granted. Must hold: no port and no link is ever granted more than it has; reservations come first. Grants
 * are whole: a migration is given all that its way has or is not started, since bytes grow as bandwidth falls
 * (M b / (b - r)), so sharing a bottleneck wastes it.
 */
import type { FleetHost, FleetLink, Reservation, Route } from './fleet-state.ts';

/** What can be the bottleneck of a way. */
export type Bottleneck =
  | { readonly kind: 'sending'; readonly host: string }
  | { readonly kind: 'receiving'; readonly host: string }
  | { readonly kind: 'link'; readonly link: string };

interface Port {
  readonly bottleneck: Bottleneck;
  /** Less reservations. */
  readonly bytesPerSecond: number;
  granted: number;
}

/** Rates are sums of fractions: less than this is nothing. */
const ROUNDING = 1e-6;

export class BandwidthAllocator {
  readonly #links: readonly FleetLink[];
  readonly #ports = new Map<string, Port>();
  /** By source, then destination: they are asked for millions of times. */
  readonly #ways = new Map<string, Map<string, readonly Port[]>>();

  constructor(hosts: readonly FleetHost[], links: readonly FleetLink[], reservations: readonly Reservation[]) {
    this.#links = links;
    const add = (bottleneck: Bottleneck, capacity: number, reserved: readonly Reservation[]): void => {
      const bytesPerSecond = reserved.reduce((left, reservation) => left - reservation.bytesPerSecond, capacity);
      this.#ports.set(nameOf(bottleneck), { bottleneck, bytesPerSecond: Math.max(0, bytesPerSecond), granted: 0 });
    };
    for (const { name, sendBytesPerSecond, receiveBytesPerSecond } of hosts) {
      const sending = reservations.filter(({ from }) => from === name);
      const receiving = reservations.filter(({ to }) => to === name);
      add({ kind: 'sending', host: name }, sendBytesPerSecond, sending);
      add({ kind: 'receiving', host: name }, receiveBytesPerSecond, receiving);
    }
    for (const link of links) {
      const through = reservations.filter(({ from, to }) => from !== null && to !== null && isOn(link, { from, to }));
      add({ kind: 'link', link: link.name }, link.bytesPerSecond, through);
    }
  }

  /** What a migration could be granted if it were the only one. */
  most(route: Route): number {
    return Math.min(...this.#way(route).map(({ bytesPerSecond }) => bytesPerSecond));
  }

  /** What it can be granted now. */
  free(route: Route): number {
    return this.#way(route).reduce(
      (least, { bytesPerSecond, granted }) => Math.min(least, Math.max(0, bytesPerSecond - granted)),
      Number.POSITIVE_INFINITY,
    );
  }

  /** What there is least of now. */
  tightest(route: Route): Bottleneck {
    const left = ({ bytesPerSecond, granted }: Port): number => bytesPerSecond - granted;
    return this.#way(route).reduce((a, b) => (left(b) < left(a) ? b : a)).bottleneck;
  }

  /** Throws a RangeError where there is not so much: who grants has asked `free`. */
  grant(route: Route, bytesPerSecond: number): void {
    if (bytesPerSecond > this.free(route) * (1 + ROUNDING) + ROUNDING) {
      throw new RangeError(`${bytesPerSecond} bytes a second from ${route.from} to ${route.to} are not free`);
    }
    this.occupy(route, bytesPerSecond);
  }

  /** What somebody has already, whether or not there is so much. */
  occupy(route: Route, bytesPerSecond: number): void {
    for (const port of this.#way(route)) port.granted += bytesPerSecond;
  }

  release(route: Route, bytesPerSecond: number): void {
    for (const port of this.#way(route)) port.granted = Math.max(0, port.granted - bytesPerSecond);
  }

  /** Everything on a way, and what it has. */
  bottlenecks(route: Route): { readonly name: string; readonly bytesPerSecond: number }[] {
    return this.#way(route).map(({ bottleneck, bytesPerSecond }) => ({ name: nameOf(bottleneck), bytesPerSecond }));
  }

  #way(route: Route): readonly Port[] {
    const known = this.#ways.get(route.from)?.get(route.to);
    if (known) return known;
    const names = [
      nameOf({ kind: 'sending', host: route.from }),
      nameOf({ kind: 'receiving', host: route.to }),
      ...this.#links.filter((link) => isOn(link, route)).map(({ name }) => nameOf({ kind: 'link', link: name })),
    ];
    const way = names.map((name) => {
      const port = this.#ports.get(name);
      if (!port) throw new RangeError(`No host or link for ${name}`);
      return port;
    });
    const ways = this.#ways.get(route.from) ?? new Map<string, readonly Port[]>();
    this.#ways.set(route.from, ways.set(route.to, way));
    return way;
  }
}

function isOn({ between: [left, right] }: FleetLink, { from, to }: Route): boolean {
  return (left.includes(from) && right.includes(to)) || (right.includes(from) && left.includes(to));
}

function nameOf(bottleneck: Bottleneck): string {
  return bottleneck.kind === 'link' ? `link ${bottleneck.link}` : `${bottleneck.kind} ${bottleneck.host}`;
}

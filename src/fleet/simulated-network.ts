/**
 * How bandwidth is shared in a simulation: fairly, by all that use a port or a link (max-min).
 *
 * Owns: the rates. Pure. Must hold: no port and no link carries more than it has.
 */
import type { FleetLink, FleetState, Route } from './fleet-state.ts';

/** Something that is sent; its rate is set here. */
export interface SharingFlow {
  readonly start: Route;
  /** What its way has of what it is said to have. */
  readonly linkFactor: number;
  readonly way: { readonly mostBytesPerSecond: number };
  /** Bytes a second. */
  rate: number;
}

interface Port {
  left: number;
  readonly open: Set<SharingFlow>;
}

/** The port with least for each of its flows is divided first. */
export function shareFairly(flows: readonly SharingFlow[], { hosts, links }: FleetState): void {
  const rates = new Map(hosts.map((host) => [host.name, host]));
  const ports = new Map<string, Port>();
  const portsOf = new Map<SharingFlow, Port[]>();
  for (const flow of flows) {
    const { from, to } = flow.start;
    const used = [
      [`from ${from}`, rates.get(from)!.sendBytesPerSecond] as const,
      [`to ${to}`, rates.get(to)!.receiveBytesPerSecond] as const,
      ...links.flatMap((link) =>
        leadsOver(link, flow.start) ? [[`link ${link.name}`, link.bytesPerSecond] as const] : [],
      ),
    ];
    const mine = used.map(([name, left]) => {
      const port = ports.get(name) ?? { left, open: new Set() };
      ports.set(name, port);
      port.open.add(flow);
      return port;
    });
    portsOf.set(flow, mine);
  }
  for (let open = flows.length; open > 0; ) {
    let tightest: Port | undefined;
    for (const port of ports.values()) {
      if (port.open.size > 0 && (!tightest || shareOf(port) < shareOf(tightest))) tightest = port;
    }
    const share = shareOf(tightest!);
    for (const flow of [...tightest!.open]) {
      const { linkFactor, way } = flow;
      flow.rate = Math.max(1, Math.min(share * Math.min(1, linkFactor), way.mostBytesPerSecond * linkFactor));
      open--;
      for (const port of portsOf.get(flow)!) {
        port.open.delete(flow);
        port.left -= share;
      }
    }
  }
}

function shareOf({ left, open }: Port): number {
  return left / open.size;
}

function leadsOver({ between: [a, b] }: FleetLink, { from, to }: Route): boolean {
  return (a.includes(from) && b.includes(to)) || (b.includes(from) && a.includes(to));
}

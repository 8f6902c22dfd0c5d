/**
 * What the fleet file keeps free for others: bandwidth that no migration is given.
 *
 * Pure. Must hold: each names hosts of the file that say what their port has; of a port or a link something is left, without which no
 * migration would ever begin there.
 */
import { GodwitError } from '../base/errors.ts';
import { formatBandwidth } from '../base/units.ts';
import type { FleetLink, Reservation } from '../fleet/fleet-state.ts';

interface RatedHost {
  readonly name: string;
  /** null: it is not said. */
  readonly bytesPerSecond: number | null;
}

interface RatedEnd {
  readonly what: string;
  readonly bytesPerSecond: number;
  isOf(reservation: Reservation): boolean;
}

/** @throws GW_INPUT_INVALID */
export function checkReservations(
  reservations: readonly Reservation[],
  hosts: readonly RatedHost[],
  links: readonly FleetLink[],
): void {
  const ends = [...hosts.flatMap(endsOfHost), ...links.map(endOfLink)];
  for (const [index, { from, to, bytesPerSecond }] of reservations.entries()) {
    const field = `reservations[${index}]`;
    if (from === null && to === null)
      throw invalid(`${field}.from`, 'null', 'name a host in `from`, in `to`, or in both');
    for (const [key, name] of Object.entries({ from, to })) {
      if (name === null || hosts.some((host) => host.name === name)) continue;
      throw invalid(`${field}.${key}`, name, 'give a host of `hosts`');
    }
    const unrated = hosts.find(({ name, bytesPerSecond }) => bytesPerSecond === null && (name === from || name === to));
    if (unrated) {
      const fix = `say what its port has, of which ${field} keeps a part, such as 10Gbit/s`;
      throw invalid(`hosts.${unrated.name}.rate`, 'nothing', fix);
    }
    for (const { what, bytesPerSecond: most, isOf } of ends) {
      const all = reservations.slice(0, index + 1).filter(isOf);
      const sum = isOf(reservations[index]!) ? all.reduce((total, each) => total + each.bytesPerSecond, 0) : 0;
      if (sum < most) continue;
      const reserved = `${formatBandwidth(sum)} would be reserved of the ${formatBandwidth(most)} of ${what}`;
      const fix = `give less: ${reserved}, and migrations need a part`;
      throw invalid(`${field}.rate`, formatBandwidth(bytesPerSecond), fix);
    }
  }
}

function endsOfHost({ name, bytesPerSecond }: RatedHost): RatedEnd[] {
  if (bytesPerSecond === null) return [];
  return [
    { what: `host ${name}`, bytesPerSecond, isOf: ({ from }) => from === name },
    { what: `host ${name}`, bytesPerSecond, isOf: ({ to }) => to === name },
  ];
}

function endOfLink({ name, bytesPerSecond, between: [one, other] }: FleetLink): RatedEnd {
  const isOf = ({ from, to }: Reservation): boolean => {
    if (from === null || to === null) return false;
    return (one.includes(from) && other.includes(to)) || (other.includes(from) && one.includes(to));
  };
  return { what: `link ${name}`, bytesPerSecond, isOf };
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}

/**
 * Which VM of this host has which MAC address, so that no two have the same (V8).
 *
 * Owns: the addresses of VMs that are being started. Must hold: an address is one VM's from before its QEMU starts until
 * that has ended or the VM is another host's; what is drawn is in the fleet's name space.
 */
import { randomBytes } from 'node:crypto';
import { GodwitError } from '../base/errors.ts';
import { drawMac, macNameSpace } from '../network/mac-address.ts';

/** The VMs of this host but those that are being started here. */
export type HolderOf = (mac: string) => string | undefined;

/** Addresses that are a VM's while it is being started. */
export interface MacClaim extends Disposable {
  /** With the addresses that were drawn for those that asked for `auto`. */
  of<Wanted extends { readonly mac: string }>(nics: readonly Wanted[]): Wanted[];
}

export class MacClaims {
  readonly #nameSpace: Uint8Array;
  readonly #holderOf: HolderOf;
  readonly #starting = new Map<string, string>();

  /** @param owner - of the name space: a fleet's key, or what tells this host from others */
  constructor(owner: string, holderOf: HolderOf) {
    this.#nameSpace = macNameSpace(owner);
    this.#holderOf = holderOf;
  }

  /** @throws GW_INPUT_INVALID when another VM of this host has one of them */
  claim(vm: string, wanted: readonly { readonly mac: string }[]): MacClaim {
    const macs: string[] = [];
    const holderOf = (mac: string): string | undefined =>
      macs.includes(mac) ? vm : (this.#starting.get(mac) ?? this.#holderOf(mac));
    for (const [index, { mac }] of wanted.entries()) {
      const holder = mac === 'auto' ? undefined : holderOf(mac);
      if (holder !== undefined) {
        const fix = `VM ${holder} has this address; give another one, or auto`;
        throw new GodwitError('GW_INPUT_INVALID', { field: `nics[${index}].mac`, value: mac, fix });
      }
      const isTaken = (drawn: string): boolean =>
        holderOf(drawn) !== undefined || wanted.some((other) => other.mac === drawn);
      macs.push(mac === 'auto' ? drawMac(this.#nameSpace, randomBytes, isTaken) : mac);
    }
    for (const mac of macs) this.#starting.set(mac, vm);
    return {
      of: (nics) => nics.map((nic, index) => ({ ...nic, mac: macs[index]! })),
      [Symbol.dispose]: () => {
        for (const mac of macs) this.#starting.delete(mac);
      },
    };
  }

  /** Why a VM with these addresses may not come here; undefined when it may. */
  refusalFor({ vm, macs }: { readonly vm: string; readonly macs: readonly string[] }): string | undefined {
    for (const mac of macs) {
      const holder = this.#starting.get(mac) ?? this.#holderOf(mac);
      // Its own earlier migration to here has not ended.
      if (holder === undefined || holder === vm) continue;
      return `its MAC address ${mac} is that of VM ${holder}, which this host has: give one of them another`;
    }
    return undefined;
  }
}

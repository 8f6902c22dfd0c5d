/**
 * Network interfaces in a VM spec.
 *
 * Owns: their fields, defaults and text forms (docs/network.md).
 */
import { z } from 'zod';
import { BRIDGE_NAME, DEFAULT_MTU, MAC_ADDRESS, MAX_NICS, MTU_RANGE, NIC_NAME } from '../base/network-words.ts';
import { choice, flag, integer, list, strictObject, text } from './field.ts';

const BRIDGE_FIX = 'give the name of a bridge of the host, such as br0, or user';
const WHICH_FIX = 'give either bridge: NAME or user: true';
const MAC_FIX = 'give auto, or an address of one interface such as 52:54:00:12:34:56';
const NAME_FIX = 'give 1 to 31 letters, digits, dashes or underscores, the first a letter';
const UNIQUE_FIX = 'give each interface of a VM a name and an address of its own';
const MTU_FIX = `give a number of bytes from ${MTU_RANGE.min} to ${MTU_RANGE.max}`;
/** The text form of an interface without a bridge. */
const USER = 'user';

/** Those whose state QEMU migrates, and that guests have drivers for. */
const MODELS = ['virtio-net-pci', 'e1000e', 'e1000', 'rtl8139'] as const;

const NicSchema = strictObject({
  bridge: text(BRIDGE_FIX)
    .regex(BRIDGE_NAME, { error: BRIDGE_FIX })
    .optional()
    .describe('Bridge that it is plugged into; every host that the VM may move to needs one of this name.'),
  user: flag()
    .optional()
    .describe(
      "Instead of a bridge: QEMU's own network, which needs nothing of the host. The guest reaches others, and nobody reaches it; connections do not survive a migration.",
    ),
  mac: text(MAC_FIX)
    .transform((given) => given.toLowerCase())
    .refine((mac) => mac === 'auto' || MAC_ADDRESS.test(mac), { error: MAC_FIX })
    .default('auto')
    .describe("MAC address; `auto`: one that nobody has is drawn from the fleet's own name space. It stays the VM's."),
  name: text(NAME_FIX)
    .regex(NIC_NAME, { error: NAME_FIX })
    .optional()
    .describe('Name of the interface, as hooks and `vm show` call it. Default: `nic0`, `nic1` …'),
  model: choice(MODELS).default('virtio-net-pci').describe('What the guest sees.'),
  mtu: integer(MTU_RANGE.min, MTU_RANGE.max, MTU_FIX)
    .optional()
    .describe(
      `Largest packet in bytes; a virtio guest is told. Bridges must let it through. Default: ${DEFAULT_MTU}, untold.`,
    ),
}).refine(({ bridge, user }) => (bridge === undefined) === (user === true), { error: WHICH_FIX });

export const NicsSchema = list(
  z.union([NicSchema, text(BRIDGE_FIX).regex(BRIDGE_NAME, { error: BRIDGE_FIX })], {
    error: `give the name of a bridge, user, or an object with bridge or user, mac, name, model (${MODELS.join(', ')}), mtu`,
  }),
  'give a list of network interfaces',
)
  .max(MAX_NICS, { error: `give at most ${MAX_NICS}` })
  .check(({ value, issues }) => {
    const nics = value.map(completeNic);
    for (const [index, { name, mac }] of nics.entries()) {
      const isTaken = (other: CompleteNic): boolean => other.name === name || (mac !== 'auto' && other.mac === mac);
      if (nics.findIndex(isTaken) === index) continue;
      issues.push({ code: 'custom', input: name, path: [index], message: UNIQUE_FIX });
    }
  });

/** With every default but its address filled in. */
export interface CompleteNic {
  readonly name: string;
  /** null: QEMU's own network. */
  readonly bridge: string | null;
  /** `auto`, or an address in lower case. */
  readonly mac: string;
  readonly model: (typeof MODELS)[number];
  readonly mtu: number | null;
}

/** An interface as it was given: the name of a bridge, `user`, or an object. */
export function completeNic(given: z.output<typeof NicsSchema>[number], index: number): CompleteNic {
  const full = typeof given === 'string' ? fromText(given) : given;
  const { bridge = null, mac, model, name = `nic${index}`, mtu = null } = full;
  return { name, bridge, mac, model, mtu };
}

function fromText(given: string): z.output<typeof NicSchema> {
  return NicSchema.parse(given === USER ? { user: true } : { bridge: given });
}

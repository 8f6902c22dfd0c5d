/** The steps that make pages smaller on the wire, in the order in which a page goes through them; each can be left out. */
export const PACKING_STEPS = ['unchanged', 'duplicates', 'delta', 'compress'] as const;
export type PackingStep = (typeof PACKING_STEPS)[number];

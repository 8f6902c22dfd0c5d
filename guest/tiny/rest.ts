/**
 * How the tiny guest rests after its pages: it halts until the timer of its local APIC wakes it, and needs no CPU.
 *
 * Must hold: the timer is the only thing that can interrupt (the 8259s and the APIC's lines are masked), and only while
 * the guest halts, so that the rest of its code needs no thought of interrupts. Ring 0 without paging only: halting is
 * privileged. Must never: leave a register changed but eax, ecx and edx.
 * Intel SDM volume 3, chapter 11.5.4 (APIC timer), 7.11 (descriptors of the table).
 */
import { type Assembler, Condition, type MemoryOperand, Register } from './assembler.ts';
import { CONTROL } from './layout.ts';

const { eax, ecx, edx, ebx } = Register;

const APIC_ADDRESS = 0xfee00000;
const Apic = {
  endOfInterrupt: 0xb0,
  spuriousVector: 0xf0,
  timer: 0x320,
  line0: 0x350,
  line1: 0x360,
  timerCount: 0x380,
  timerDivide: 0x3e0,
} as const;
const APIC_ENABLED = 0x1ff;
const MASKED = 0x10000;
const DIVIDE_BY_ONE = 0xb;
/** How often the timer counts, of QEMU's emulated APIC. */
export const TIMER_COUNTS_PER_MICROSECOND = 1000;
/** The timer counts down from 32 bits. */
export const MAX_REST_MICROSECONDS = 4_000_000;

/** The first vector that an APIC may use; those before it have empty gates. */
const TIMER_VECTOR = 16;
const GATE_BYTES = 8;
const RING_0_INTERRUPT_GATE = 0x8e;
const PIC_MASK_PORTS = [0x21, 0xa1];

/** Before the first rest. @param codeSelector - of the code that runs */
export function emitRestSetup(code: Assembler, codeSelector: number): void {
  code.emit(0x0f, 0x01, 0x1d); // lidt [gatesPointer]
  code.address('gatesPointer');
  for (const port of PIC_MASK_PORTS) {
    code.set(edx, port);
    code.set(eax, 0xff);
    code.output();
  }
  code.set(edx, APIC_ADDRESS);
  code.storeValue(apic('spuriousVector'), APIC_ENABLED);
  code.storeValue(apic('line0'), MASKED);
  code.storeValue(apic('line1'), MASKED);
  code.storeValue(apic('timerDivide'), DIVIDE_BY_ONE);
  code.storeValue(apic('timer'), TIMER_VECTOR);
  code.jump('restReady');

  code.label('gatesPointer');
  code.word((TIMER_VECTOR + 1) * GATE_BYTES - 1);
  code.address('gates');
  code.align(GATE_BYTES);
  code.label('gates');
  for (let vector = 0; vector < TIMER_VECTOR; vector++) code.emit(...new Array<number>(GATE_BYTES).fill(0));
  code.address('woken', 2);
  code.word(codeSelector);
  code.emit(0, RING_0_INTERRUPT_GATE, 0, 0);
  code.label('restReady');
}

/** The subroutine `rest`, after each page: halts if so many pages were written that it is time to. */
export function emitRest(code: Assembler): void {
  code.label('rest');
  code.load(eax, control('pagesWritten'));
  code.load(ecx, control('restMask'));
  code.and(eax, ecx);
  code.test(eax);
  code.jumpIf(Condition.notZero, 'rested');
  code.load(ecx, control('restCounts'));
  code.test(ecx);
  code.jumpIf(Condition.zero, 'rested');
  code.set(edx, APIC_ADDRESS);
  code.store(apic('timerCount'), ecx);
  // Interrupts come after the instruction that follows sti: a timer that is over already wakes the halt.
  code.emit(0xfb, 0xf4, 0xfa); // sti; hlt; cli
  code.label('rested');
  code.return();

  code.label('woken');
  code.set(edx, APIC_ADDRESS);
  code.storeValue(apic('endOfInterrupt'), 0);
  code.emit(0xcf); // iret
}

function apic(register: keyof typeof Apic): MemoryOperand {
  return { base: edx, displacement: Apic[register] };
}

function control(field: keyof typeof CONTROL): MemoryOperand {
  return { base: ebx, displacement: CONTROL[field] };
}

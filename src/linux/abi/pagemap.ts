/**
 * Numbers and layouts of PAGEMAP_SCAN, linux/fs.h since Linux 6.7
 * (https://docs.kernel.org/admin-guide/mm/pagemap.html#pagemap-scan-ioctl).
 *
 * Owns: data only.
 */
import { iowr } from './ioctl.ts';

/** struct pm_scan_arg, as 64-bit words. */
export const PmScanArg = {
  size: 0,
  flags: 1,
  start: 2,
  end: 3,
  walkEnd: 4,
  vec: 5,
  vecLen: 6,
  maxPages: 7,
  categoryInverted: 8,
  categoryMask: 9,
  categoryAnyOf: 10,
  returnMask: 11,
} as const;
export const PM_SCAN_ARG_WORDS = 12;

export const PAGEMAP_SCAN: number = iowr(0x66, 16, PM_SCAN_ARG_WORDS * 8);

/** Write-protects the pages that it reports, atomically. */
export const PM_SCAN_WP_MATCHING = 1n;
/** Fails with EPERM where the range is not registered for asynchronous write-protection. */
export const PM_SCAN_CHECK_WPASYNC = 2n;

export const PAGE_IS_WRITTEN = 2n;
export const PAGE_IS_PRESENT = 8n;

/** struct page_region {start, end, categories}, as 32-bit words. */
export const PAGE_REGION_HALF_WORDS = 6;

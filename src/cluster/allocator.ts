import {existsSync} from 'node:fs';

const LIBRARY = 'libjemalloc.so.2';
/**
 * Tens of thousands of messages are under way at a time, spread over more small pages than a processor remembers; with large ones they cost a
 * tenth less. Two arenas, because each keeps what it has in large pages, too: the two threads that matter need no more.
 */
const SETTINGS = 'thp:always,narenas:2';

/** Where Linux distributions have it: Debian's multiarch, 64-bit Red Hat and SUSE, Alpine and Arch. */
function directories(arch: NodeJS.Architecture): readonly string[] {
  const triplets: Partial<Record<NodeJS.Architecture, string>> = {x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu'};
  const triplet = triplets[arch];
  return [...(triplet === undefined ? [] : [`/usr/lib/${triplet}`]), '/usr/lib64', '/usr/lib'];
}

/**
 * Variables for a process that produces into Kafka: memory of messages is taken on one thread and given back on another, for which jemalloc
 * needs a third less CPU than the C library's own allocator. Nothing where it is not installed, or with SLUICE_ALLOCATOR=system.
 */
export function allocatorEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  exists: (path: string) => boolean = existsSync,
): {readonly LD_PRELOAD?: string; readonly MALLOC_CONF?: string} {
  if (environment['SLUICE_ALLOCATOR'] === 'system') return {};
  const path = directories(process.arch)
    .map(directory => `${directory}/${LIBRARY}`)
    .find(exists);
  if (path === undefined) return {};
  const before = environment['LD_PRELOAD'];
  return {
    LD_PRELOAD: before === undefined || before === '' ? path : `${before}:${path}`,
    MALLOC_CONF: environment['MALLOC_CONF'] ?? SETTINGS,
  };
}

import {SqlError} from './sql-error.ts';

/**
 * What the user is told when the file system has refused a temporary file: 53100, which passes, when the disk or a quota is full, 58030
 * for everything else. `message` says what could not be done, and where. An error that is not the file system's comes back as it is.
 */
export function fileRefused(error: unknown, message: string): unknown {
  const {code, syscall} = error as NodeJS.ErrnoException;
  if (syscall === undefined) return error;
  return code === 'ENOSPC' || code === 'EDQUOT'
    ? new SqlError('53100', message, {
        cause: error,
        hint: 'Free space there, or move the data directory of Sluice to a larger disk. The sink goes on by itself when there is room.',
      })
    : new SqlError('58030', message, {
        cause: error,
        hint: 'Look at the owner and the mode of the directory, and at its disk.',
      });
}

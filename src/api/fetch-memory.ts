/** What Fetch needs of the memory that all answers share. */

/** One answer's wish. */
export interface ReservationRequest {
  /** A connection holds one reservation at a time. */
  readonly connectionId: number;
  readonly wantedBytes: number;
  /** With less the answer could not hold a single batch. */
  readonly leastBytes: number;
  readonly waitMs: number;
  /** Registers for the end of the client. @returns removes the registration. */
  onAbandon(listener: () => void): () => void;
}

/** Memory that is counted until it is released. */
export interface Reservation {
  readonly sizeBytes: number;
  /** What is loaded turned out larger or smaller. Only before `settle`. */
  resize(sizeBytes: number): void;
  /** Everything is loaded: from now on it waits for the client. */
  settle(): void;
  /** The bytes are encoded or given up. A second call does nothing. */
  release(): void;
}

export interface AnswerMemory {
  /** Nothing may be encoded without a reservation. */
  readonly isExhausted: boolean;
  /** How many bytes of batches the next answer may hold. */
  allowanceBytes(): number;
  /**
   * At least `leastBytes` and at most `wantedBytes`, in the order of asking. Resolves with undefined
   * when `waitMs` are over or the client is gone.
   */
  reserve(request: ReservationRequest): Promise<Reservation | undefined>;
}

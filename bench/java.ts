/** The same memory and garbage collector for every Java program that takes part: the broker, Kafka Connect, Kafka's own producer. */
export const JAVA = ['-Xms512m', '-Xmx1g', '-XX:+UseG1GC'] as const;

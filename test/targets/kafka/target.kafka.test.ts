import {registerTargetTests} from '../target-tests.ts';
import {KafkaWorld} from './world.ts';

registerTargetTests('Kafka', () => Promise.resolve(new KafkaWorld()));

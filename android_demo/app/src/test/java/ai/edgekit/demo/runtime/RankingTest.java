package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.Test;

/** What the screen shows of scores and times: TopK, Smoother, Percentiles. */
public final class RankingTest {
    private static final long SECOND = 1_000_000_000L;

    @Test
    public void topKRanksAndKeepsTheOrderOfEquals() {
        TopK top = new TopK(3);
        top.update(new float[] {0.1f, 0.3f, 0.1f, 0.3f, 0.2f});
        assertArrayEquals(new int[] {1, 3, 4}, top.indices);
        assertArrayEquals(new float[] {0.3f, 0.3f, 0.2f}, top.scores, 0);
        top.update(new float[] {0.5f, 0.6f});
        assertEquals(2, top.count);
        assertArrayEquals(new int[] {1, 0}, Arrays.copyOf(top.indices, top.count));
    }

    @Test
    public void topKAgreesWithSorting() {
        Random random = new Random(3);
        TopK top = new TopK(5);
        for (int i = 0; i < 200; i++) {
            float[] scores = new float[1 + random.nextInt(30)];
            Integer[] order = new Integer[scores.length];
            for (int k = 0; k < scores.length; k++) {
                scores[k] = random.nextInt(12) / 12f;
                order[k] = k;
            }
            Arrays.sort(order, (a, b) -> Float.compare(scores[b], scores[a])); // stable
            top.update(scores);
            for (int k = 0; k < Math.min(5, scores.length); k++) {
                assertEquals((int) order[k], top.indices[k]);
            }
        }
    }

    @Test
    public void scoresAreSmoothedOverTimeNotOverFrames() {
        Smoother often = new Smoother(2, 2, 1.0);
        Smoother seldom = new Smoother(2, 2, 1.0);
        often.update(new float[] {1, 0}, 0);
        seldom.update(new float[] {1, 0}, 0);
        for (int i = 1; i <= 100; i++) {
            often.update(new float[] {0, 1}, i * SECOND / 100);
        }
        seldom.update(new float[] {0, 1}, SECOND);
        assertEquals(Math.exp(-1), often.score(0), 1e-4);
        assertEquals(Math.exp(-1), seldom.score(0), 1e-4);
        often.reset();
        often.update(new float[] {0.25f, 0.75f}, 2 * SECOND);
        assertArrayEquals(new float[] {0.25f, 0.75f}, often.scores(), 0);
    }

    @Test
    public void rowsKeepTheirPlaceUntilALabelIsClearlyBetter() {
        Smoother smoother = new Smoother(5, 3, 1e-9);
        smoother.update(new float[] {0.5f, 0.2f, 0.15f, 0.1f, 0.05f}, 0);
        assertArrayEquals(new int[] {0, 1, 2}, smoother.rows);
        smoother.update(new float[] {0.5f, 0.15f, 0.2f, 0.1f, 0.05f}, SECOND); // 1 and 2 stay where they are
        assertArrayEquals(new int[] {0, 1, 2}, smoother.rows);
        smoother.update(new float[] {0.5f, 0.14f, 0.17f, 0.155f, 0.035f}, 2 * SECOND); // 3 leads 1 too little
        assertArrayEquals(new int[] {0, 1, 2}, smoother.rows);
        smoother.update(new float[] {0.5f, 0.1f, 0.15f, 0.2f, 0.05f}, 3 * SECOND); // 3 takes the row of 1
        assertArrayEquals(new int[] {0, 3, 2}, smoother.rows);
        smoother.update(new float[] {0.34f, 0.0f, 0.36f, 0.3f, 0}, 4 * SECOND); // 2 leads 0 too little
        assertArrayEquals(new int[] {0, 3, 2}, smoother.rows);
        smoother.update(new float[] {0.2f, 0.0f, 0.5f, 0.3f, 0}, 5 * SECOND); // 2 and 0 change places
        assertArrayEquals(new int[] {2, 3, 0}, smoother.rows);
        assertEquals(2, new Smoother(2, 4, 1).rows.length);
    }

    @Test
    public void noiseMovesNoRow() {
        Smoother smoother = new Smoother(4, 3, 0.3);
        Random random = new Random(7);
        int changes = 0;
        int[] before = null;
        for (int frame = 0; frame < 300; frame++) {
            float[] scores = {0.4f, 0.21f, 0.2f, 0.19f};
            for (int i = 0; i < scores.length; i++) {
                scores[i] += (float) random.nextGaussian() * 0.03f;
            }
            smoother.update(scores, frame * SECOND / 30);
            changes += before != null && !Arrays.equals(before, smoother.rows) ? 1 : 0;
            before = smoother.rows.clone();
        }
        assertTrue(changes + " changes", changes <= 1);
    }

    @Test
    public void percentilesAreThoseOfNumpy() {
        Percentiles times = new Percentiles(4);
        assertTrue(Double.isNaN(times.percentile(50)));
        for (double value : new double[] {100, 4, 1, 3, 2}) { // the first one is forgotten
            times.add(value);
        }
        assertEquals(4, times.count());
        assertEquals(2.5, times.percentile(50), 0);
        assertEquals(3.85, times.percentile(95), 1e-12);
        assertEquals(4, times.percentile(100), 0);
        times.clear();
        times.add(7);
        assertEquals(7, times.percentile(95), 0);
    }
}

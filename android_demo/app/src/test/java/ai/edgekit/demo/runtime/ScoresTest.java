package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.util.Map;
import org.junit.Test;

public final class ScoresTest {
    @Test
    public void scoresArePythons() throws Exception {
        for (Object entry : Cases.list(Cases.json(Cases.made("scores.json")).get("cases"))) {
            Map<?, ?> one = (Map<?, ?>) entry;
            float[] expected = Cases.floats(one.get("scores"));
            float[] found = new float[expected.length];
            Spec.Output spec = Cases.spec((Map<?, ?>) one.get("spec")).output;
            Scores.fromOutput(Cases.floats(one.get("output")), spec, found);
            assertArrayEquals(one.toString(), expected, found, 1e-6f);
        }
    }

    @Test
    public void belowTheThresholdItIsNotSure() throws Exception {
        Spec.Calibration calibration = new Spec.Calibration(1, 0.5);
        Spec.Output strict = new Spec.Output("y", "softmax", "float32", null, calibration);
        Spec.Output always = new Spec.Output("y", "softmax", "float32", null, new Spec.Calibration(1, null));
        assertTrue(Scores.areSure(new float[] {0.25f, 0.5f, 0.25f}, strict));
        assertFalse(Scores.areSure(new float[] {0.3f, 0.4f, 0.3f}, strict));
        assertTrue(Scores.areSure(new float[] {0.3f, 0.4f, 0.3f}, always));
    }

    @Test
    public void onlyNumbersHaveARank() {
        assertTrue(Scores.areFinite(new float[] {0, 1}));
        assertFalse(Scores.areFinite(new float[] {0, Float.NaN}));
        assertFalse(Scores.areFinite(new float[] {Float.NEGATIVE_INFINITY, 0}));
        assertEquals(1, Scores.best(new float[] {0.25f, 0.5f, 0.5f}));
    }
}
